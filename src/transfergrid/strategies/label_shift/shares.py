"""The base class of strategies that estimate a target's class shares with a source model."""

from typing import Any

import torch
from torch import Tensor

from transfergrid.records.seeds import generator
from transfergrid.strategies import (
    Batch,
    Data,
    Needs,
    Objective,
    Range,
    Schedule,
    Share,
    Sizes,
    Strategy,
)
from transfergrid.strategies.adaptation.alignment import ADAPTED, SAME

HELD_OUT = 5
"""One example in so many of each source class is held out; of a smaller class, one."""


class LabelShift(Strategy):
    """A source model that is measured on a fifth of the source, which it was not trained on.

    Inputs of that fifth are in the batches, so that BatchNorm sees them; their labels are in no
    loss of the first phase. At strength 0 nothing is held out, and it is `source_only`.

    Args:
        strength: how much of the estimated shift is corrected, from 0 to 1.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs = Needs("start", "unused", 1, "same", unlabelled=True, tasks=("classification",))
    baselines = ADAPTED
    space = {"lr_factor": SAME, "strength": Range(0.1, 1.0, log=False, default=1.0)}
    setting = "transductive"
    target_statistics = "unseen"

    def __init__(
        self, strength: Share = 1.0, schedule: Schedule | None = "inverse_decay", **shared: Any
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.strength = strength

    def build(self, sizes: Sizes) -> None:
        examples, classes = sum(sizes.source), self.task.outputs
        self.scaffold.register_buffer("held", torch.zeros(examples, dtype=torch.bool))
        for name in ("given", "found"):
            self.scaffold.register_buffer(name, torch.zeros(classes, dtype=torch.float64))

    def hold_out(self, data: Data) -> None:
        """Hold out a fifth of each source class, at least one example, drawn by the seed block.

        Of a class with a single example none is held out.
        """
        labels, held = data.source[0].labels.cpu(), self.scaffold.get_buffer("held")
        for k in range(self.task.outputs):
            rows = torch.nonzero(labels == k)[:, 0]
            order = generator(self.block_seed, "held out", k).permutation(len(rows))
            few = max(len(rows) // HELD_OUT, min(1, len(rows) - 1))
            held[rows[order[:few]]] = True

    def on_kept(self, batch: Batch, progress: float) -> Tensor:
        """Return the loss on source examples that are not held out."""
        seen = batch.source[0]
        kept = ~self.scaffold.get_buffer("held")[seen.rows]
        outputs = self.predict(seen.inputs)
        if not kept.any():
            return outputs.sum() * 0.0
        return self.task.loss(outputs[kept], seen.labels[kept])

    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.source[0]
        return self.task.loss(self.predict(seen.inputs), seen.labels)

    def learning(self) -> Objective:
        """Return the objective of the first phase, in which all weights learn."""
        return Objective(self.on_kept if self.strength else self.loss, self.everything())

    def measured(self, data: Data) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits and labels of held-out source examples, and the target's logits.

        Shapes are (n, classes), (n,) and (m, classes). Logits are float64, all is on the CPU. The
        class shares of the held-out examples are stored as the source's.
        """
        assert data.unlabelled is not None
        source, held = data.source[0], self.scaffold.get_buffer("held").cpu()
        outputs, labels = source.outputs().cpu().double()[held], source.labels.cpu()[held]
        counts = labels.bincount(minlength=self.task.outputs).double()
        self.scaffold.get_buffer("given").copy_(counts / counts.sum().clamp_min(1))
        return outputs, labels, data.unlabelled.outputs().cpu().double()

    def tells(self) -> dict[str, Any]:
        if not self.scaffold.get_buffer("given").any():
            return {}  # nothing measured: strength is 0, or the chosen step was before it
        names = self.task.names
        return {
            f"{whose}_shares": dict(
                zip(names, self.scaffold.get_buffer(name).tolist(), strict=True)
            )
            for whose, name in (("source", "given"), ("target", "found"))
        }
