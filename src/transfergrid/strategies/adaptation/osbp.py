"""A class "unknown" for target examples of classes that the source lacks (OSBP)."""

from typing import Any

from torch import Tensor

from transfergrid.strategies import (
    Batch,
    Needs,
    NotNegative,
    Objective,
    Part,
    Phase,
    Range,
    Schedule,
    Strategy,
)
from transfergrid.strategies.adaptation.alignment import ADAPTED, SAME
from transfergrid.strategies.adaptation.domain_adversarial import GradientReversal
from transfergrid.strategies.draws import same_draws


def border(logits: Tensor, t: float) -> Tensor:
    """Return the mean binary cross-entropy of the last class, "unknown", with target probability t.

    Args:
        logits: (batch, classes + 1).
        t: from 0 to 1.
    """
    logs = logits.log_softmax(1)
    return -(t * logs[:, -1] + (1 - t) * logs[:, :-1].logsumexp(1)).mean()


class Osbp(Strategy):
    """Draw a border around what the source knows, while features take target examples across it.

    This is for a target with classes that the source lacks. They form one extra class, the last,
    which has no source labels. The head learns to say "unknown" with probability t for each target
    example. The features, whose gradient is reversed, move that probability away from t, to one
    side or the other. The reversal has strength 1 from the first step on, as in the authors' code.
    With weight 0 it is exactly the baseline, which never learns to say "unknown"; BatchNorm does
    not record unlabelled inputs.

    Formula:
        heads: CE(source) + W L; features: CE(source) - W L;
        L = mean of -t log p(unknown) - (1 - t) log(1 - p(unknown)) on the target
    Try it:
        where the target has classes that the source lacks; where it has none, some examples of
        known classes are called unknown. Use os, os_star and unknown_recall, not accuracy
    Cost:
        a second pass of as many unlabelled inputs a step; nothing at prediction
    Source:
        Saito, Yamamoto, Ushiku & Harada 2018, Open set domain adaptation by backpropagation, ECCV,
        arXiv 1804.10427, section 3.2

    Args:
        weight: W, of the loss that draws the border.
        t: probability of "unknown" that the head learns for target examples.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs = Needs(
        "start", "unused", 1, "same", unlabelled=True, tasks=("classification",), pairs=("open",)
    )
    baselines = ADAPTED
    space = {
        "lr_factor": SAME,
        "weight": Range(0.1, 10.0, default=1.0),
        "t": Range(0.2, 0.8, log=False, default=0.5),
    }
    setting, transfers = "transductive", "features"
    also_called = ("open_set_by_backpropagation", "open_set_domain_adaptation")
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        weight: NotNegative = 1.0,
        t: Part = 0.5,
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.weight, self.t = weight, t

    def phases(self) -> list[Phase]:
        return [
            Phase(
                "adapt", [Objective(self.loss, self.everything())], reads=["source", "unlabelled"]
            )
        ]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.unlabelled is not None
        seen = batch.source[0]
        labelled = self.task.loss(self.predict(seen.inputs), seen.labels)
        with same_draws(self):  # what follows draws the same numbers as without this pass
            other = self.features(batch.unlabelled, recorded=False)
        said = self.head(GradientReversal.apply(other, 1.0))
        return labelled + self.weight * border(said, self.t)
