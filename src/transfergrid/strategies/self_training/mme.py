"""A head that maximises the entropy on unlabelled inputs, and features that minimise it (MME)."""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import linear, normalize
from typing_extensions import override

from transfergrid.strategies import Batch, NotNegative, Positive, Range, Sizes
from transfergrid.strategies.adaptation.alignment import RATES
from transfergrid.strategies.self_training.entropy_minimization import entropies
from transfergrid.strategies.self_training.predictions import UnlabelledTerm


class NormalisedHead(nn.Linear):
    """A head with logits W x / (|x| T), without a bias: similarities to the rows of W.

    Args:
        dim: width of the features.
        classes: number of classes.
        temperature: T.
    """

    def __init__(self, dim: int, classes: int, temperature: float) -> None:
        super().__init__(dim, classes, bias=False)
        self.temperature = temperature

    @override
    def forward(self, features: Tensor) -> Tensor:
        return self.similarities(features, self.weight)

    def similarities(self, features: Tensor, weight: Tensor) -> Tensor:
        """Return the logits (batch, classes) that given weights produce."""
        return linear(normalize(features), weight) / self.temperature


class Mme(UnlabelledTerm):
    """A head that is unsure of unlabelled inputs, and features that make it sure.

    Features are normalised to length 1 and the head has no bias: its rows are prototypes of the
    classes. The head's entropy gradient moves the prototypes towards the unlabelled inputs, and the
    features' gradient moves these towards the prototypes. One library leaves out normalisation and
    temperature and keeps a bias; that is another method. The authors' code takes two optimiser
    steps a batch and, for some networks, has one more layer before the normalisation; here one step
    has both losses, and there is no such layer. At `weight: 0` only the labelled loss is left: the
    baseline with a head of this kind, and not the baseline itself.

    It is made for a few target labels, which hold the prototypes near the target's classes. It runs
    without any, and then only the source's labels hold them.

    Formula:
        head: min CE(source, target) - w mean H(p(x)); features: min CE(source, target) + w mean
        H(p(x)), over unlabelled x; p = softmax(W f / (|f| T))
    Try it:
        where the target has one to a few labels per class, and the source's examples are at hand
    Cost:
        a second forward pass of as many unlabelled inputs a step; nothing at prediction
    Source:
        Saito, Kim, Sclaroff, Darrell & Saenko 2019, Semi-supervised domain adaptation via minimax
        entropy, ICCV, arXiv 1904.06487, section 3; values as in the authors' code

    Args:
        weight: weight of the entropy.
        temperature: T.
        shared: `lr_factor` and `schedule`.
    """

    also_called = ("minimax_entropy", "ssda_mme")
    stackable = True
    badges = ("formula_exact", "trajectory_exact")
    transfers = "features"
    space = {
        "lr_factor": RATES,
        "weight": Range(0.01, 1.0, default=0.1),
        "temperature": Range(0.05, 1.0, default=0.05),
    }

    def __init__(
        self, weight: NotNegative = 0.1, temperature: Positive = 0.05, **shared: Any
    ) -> None:
        super().__init__(weight, **shared)
        self.temperature = temperature

    def build(self, sizes: Sizes) -> None:
        self.head = NormalisedHead(self.backbone.dim, self.task.outputs, self.temperature)

    def unlabelled_loss(self, batch: Batch, progress: float) -> Tensor:
        """Return the difference of two equal entropies: 0, with a gradient for each side.

        The first one, with detached head weights, is minimised by the features; the second one, of
        detached features, is maximised by the head.
        """
        assert batch.unlabelled is not None
        assert isinstance(self.head, NormalisedHead)
        features = self.features(batch.unlabelled, recorded=False)
        seen = self.head.similarities(features, self.head.weight.detach())
        return entropies(seen).mean() - entropies(self.head(features.detach())).mean()
