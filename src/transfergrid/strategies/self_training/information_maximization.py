"""Make predictions on unlabelled inputs confident one by one, and diverse as a whole."""

from torch import Tensor

from transfergrid.strategies.adaptation.shot import information
from transfergrid.strategies.self_training.predictions import PredictionTerm


class InformationMaximization(PredictionTerm):
    """Be sure of each unlabelled input, and say that all classes are among them.

    It is the first term of `shot`, beside a labelled source. Both entropies are in nats and of one
    batch. In a batch that is small compared with the number of classes, the second entropy is far
    below that of all inputs; the same expression as a score over a whole set is another number. The
    second entropy is largest where all classes are predicted equally often. Where classes are not
    equally frequent, this pushes predictions away from the truth.

    Formula:
        CE(source, target) + w [mean H(p(x)) - H(mean p(x))], over unlabelled x
    Try it:
        where target inputs come without labels, classes are about equally frequent, and a batch
        has several examples of each; not under label shift
    Cost:
        a second forward pass of as many unlabelled inputs a step; nothing at prediction
    Source:
        Krause, Perona & Gomes 2010, Discriminative clustering by regularized information
        maximization, NIPS; for domains Liang, Hu & Feng 2020 (SHOT), arXiv 2002.08546, equation 3

    Args:
        shared: `weight`, `lr_factor` and `schedule`.
    """

    also_called = ("im", "infomax", "mutual_information", "information_maximisation")
    stackable = True
    badges = ("formula_exact", "trajectory_exact")
    assumes = ("equal_shares",)

    def logits_loss(self, logits: Tensor) -> Tensor:
        return information(logits)
