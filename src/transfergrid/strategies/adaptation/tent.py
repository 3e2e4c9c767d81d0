"""Make a source model confident on target inputs by training its BatchNorm layers alone (Tent)."""

from typing import Any

from torch import Tensor

from transfergrid.strategies import (
    BadInputError,
    Batch,
    Count,
    Data,
    Group,
    ImpossibleError,
    Needs,
    Objective,
    Phase,
    Schedule,
    Sizes,
    Strategy,
    rates,
)
from transfergrid.strategies.adaptation.adabn import SOURCE_FREE
from transfergrid.strategies.baselines.source_model import take_head
from transfergrid.strategies.batch_norms import batch_norms
from transfergrid.strategies.weight_space.batch_statistics import retake


def entropy(logits: Tensor) -> Tensor:
    """Return the mean entropy of predictions, given logits (batch, classes)."""
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()


class Tent(Strategy):
    """Make a source model sure of a stream of target inputs, by scales and shifts of BatchNorm.

    The stream is the unlabelled inputs in the order of the seed block, each once, in full batches;
    a remainder smaller than a batch is dropped. In a step BatchNorm normalises by the batch's own
    statistics, with variances over n, and dropout is on, as in the authors' code. The authors score
    test inputs as they pass, each before the step it takes part in. Here the test split is in no
    stream. The model is scored after the last step, with statistics over all unlabelled inputs,
    computed as in `adabn`: so an example's prediction does not depend on the others in its batch.
    No source example is read.

    LayerNorm and similar layers normalise each example by itself and keep no statistics: networks
    without BatchNorm are refused.

    Formula:
        min over g, b of mean H(p(x)), batch by batch; y = g (x - mean_t) / std_t + b
    Try it:
        where `adabn` helps, and the source model is already right more often than not: it makes
        predictions more confident, not more correct, and may collapse to one class
    Cost:
        a step for each batch of unlabelled inputs, at most the shared number of steps; nothing at
        prediction
    Source:
        Wang et al. 2021, Tent: fully test-time adaptation by entropy minimization, ICLR, arXiv
        2006.10726, sections 3.1 and 3.2

    Args:
        passes: number of passes over the stream; 1 is online adaptation.
        schedule: constant by default; null for the shared schedule.
        shared: `lr_factor`.

    Raises:
        ImpossibleError: the network has no BatchNorm that learns.
        BadInputError: batches are of one example, which has no statistics.
    """

    needs = Needs(
        "head",
        "unused",
        classes="same",
        unlabelled=True,
        tasks=("classification",),
        layers="batch_norm",
    )
    baselines = SOURCE_FREE
    space = {"lr_factor": rates(0.1, small_images=1.0, images=1.0, text=1.0)}
    setting = "transductive"
    moves_statistics = True
    also_called = ("test_time_entropy_minimization", "fully_test_time_adaptation")
    closed_to = {"label_smoothing": "it learns from no labels"}
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self, passes: Count = 1, schedule: Schedule | None = "constant", **shared: Any
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.passes = passes

    def build(self, sizes: Sizes) -> None:
        norms = batch_norms(self.backbone, "tent")
        if not any(list(norm.parameters()) for norm in norms):
            raise ImpossibleError(f"{self.backbone.title} has no BatchNorm with scales or shifts")
        take_head(self)
        most = self.training_plan.batch_size
        size = min(most, sizes.unlabelled or most)
        self.batches = self.passes * sizes.unlabelled // size
        if size < 2:
            raise BadInputError("tent normalises by the batch, and one example has no statistics")

    def phases(self) -> list[Phase]:
        own = [p for norm in batch_norms(self.backbone, "tent") for p in norm.parameters()]
        learns = [Objective(self.loss, [Group("norms", own, decay=False)])]
        return [
            Phase("adapt", learns, reads=["unlabelled"], until=self.has_passed),
            Phase("take", before=self.take, reads=["unlabelled"]),
        ]

    def has_passed(self, losses: Any) -> bool:
        """Return whether the stream has passed `passes` times."""
        return len(losses) >= self.batches

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.unlabelled is not None
        return entropy(self.predict(batch.unlabelled))

    def take(self, data: Data) -> None:
        """Set BatchNorm's statistics to those of all unlabelled target inputs."""
        assert data.unlabelled is not None
        retake(batch_norms(self.backbone, "tent"), [data.unlabelled], self.backbone.embed)
