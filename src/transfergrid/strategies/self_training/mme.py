"""A head that is as unsure as it can be of unlabelled inputs, and features that make it sure."""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import linear, normalize
from typing_extensions import override

from transfergrid.strategies import Batch, NotNegative, Positive, Range, Sizes
from transfergrid.strategies.adaptation.alignment import RATES
from transfergrid.strategies.self_training.entropy_minimization import entropies
from transfergrid.strategies.self_training.predictions import UnlabelledTerm


class NormalisedHead(nn.Linear):
    """Logits W x / (|x| T), without a bias: similarities to the rows of W.

    Args:
        dim: of features.
        classes: how many there are.
        temperature: T.
    """

    def __init__(self, dim: int, classes: int, temperature: float) -> None:
        super().__init__(dim, classes, bias=False)
        self.temperature = temperature

    @override
    def forward(self, features: Tensor) -> Tensor:
        return self.similarities(features, self.weight)

    def similarities(self, features: Tensor, weight: Tensor) -> Tensor:
        """Return logits (batch, classes) by other weights."""
        return linear(normalize(features), weight) / self.temperature


class Mme(UnlabelledTerm):
    """A head that is unsure of unlabelled inputs, and features that make it sure.

    Features are brought to length 1 and the head has no bias: its rows stand for classes, and
    drawing them towards the unlabelled inputs and these towards them is the method. One library
    leaves out both, and the temperature, and is something else. The authors' code takes two steps
    of its optimiser a batch and, for some networks, one layer more before the features have length
    1; here one step has both losses, and there is no such layer. So at `weight: 0` nothing is left
    but the loss of labels: the baseline with a head of this kind, and not the baseline itself.

    It is made for a few target labels, which hold the rows near the target's classes. Without any
    it may be run, and the rows are then the source's alone.

    Formula:
        head: min CE(source, target) - w mean H(p(x)); features: min CE(source, target) + w mean
        H(p(x)), over unlabelled x; p = softmax(W f / (|f| T))
    Try it:
        where there are one to a few labels a class on the target, and the source's examples
    Cost:
        a second forward pass of as many unlabelled inputs a step; nothing at prediction
    Source:
        Saito, Kim, Sclaroff, Darrell & Saenko 2019, Semi-supervised domain adaptation via minimax
        entropy, ICCV, arXiv 1904.06487, section 3; values as in the authors' code

    Args:
        weight: of the entropy.
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
        """Return two entropies, which cancel; each side has the gradient of its own alone."""
        assert batch.unlabelled is not None
        assert isinstance(self.head, NormalisedHead)
        features = self.features(batch.unlabelled, recorded=False)
        seen = self.head.similarities(features, self.head.weight.detach())
        return entropies(seen).mean() - entropies(self.head(features.detach())).mean()
