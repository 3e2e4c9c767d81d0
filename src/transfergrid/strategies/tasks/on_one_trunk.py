"""The base class of strategies that train source and target jointly, on one backbone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from transfergrid.strategies import (
    Baselines,
    Batch,
    Group,
    Inputs,
    Needs,
    Objective,
    Other,
    Phase,
    Sizes,
    Strategy,
)

TOGETHER = "train"
"""Name of the phase in which both tasks are learned."""


class BothTasks(Strategy):
    """Two tasks on one backbone, each with a head; the target's head predicts.

    The source's head is in the scaffold. Subclasses define how losses are weighted, or how the two
    gradients are combined.
    """

    needs = Needs(source="start", domains=1)
    baselines = Baselines(exploratory=["full_finetuning", "source_and_target"])
    transfers = "instances"

    def build(self, sizes: Sizes) -> None:
        if self.source_tasks:  # not if it is rebuilt to predict
            self.scaffold["source"] = self.source_tasks[0].head(self.backbone.dim)

    def phases(self) -> list[Phase]:
        learns = [*self.everything(), Group("source head", self._source_head()), *self.beside()]
        tasks = [Objective(self.loss, learns), Objective(self.of_source, learns)]
        return [Phase(TOGETHER, tasks, reads=["source", "target"], combine=self.combined)]

    def _source_head(self) -> list[nn.Parameter]:
        return [*self.scaffold["source"].parameters()] if "source" in self.scaffold else []

    def beside(self) -> list[Group]:
        """Return further groups that learn from both losses."""
        return []

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.target is not None
        return self.task.loss(self.predict(batch.target.inputs), batch.target.labels)

    def of_source(self, batch: Batch, progress: float) -> Tensor:
        """Return the source's loss, with its own head and task."""
        seen = batch.source[0]
        return self.source_tasks[0].loss(self.predict_source(seen.inputs), seen.labels)

    def other_tasks(self) -> list[Other]:
        return [Other(0, self.predict_source)] if "source" in self.scaffold else []

    def predict_source(self, inputs: Inputs) -> Tensor:
        """Return the outputs of the source's head, (batch, outputs)."""
        outputs: Tensor = self.scaffold["source"](self.features(inputs))
        return outputs

    def combined(self, gradients: list[list[Tensor]]) -> list[Tensor]:
        """Return one gradient for each parameter: the sum over both tasks."""
        return [sum(own[1:], own[0]) for own in zip(*gradients, strict=True)]

    def learning(self) -> list[nn.Parameter]:
        """Return the parameters that learn, in the order of the gradients that `combined` gets."""
        (phase,) = (phase for phase in self.all_phases() if phase.name == TOGETHER)
        return [p for group in phase.learning() for p in group.parameters]

    def on_trunk(
        self, gradients: list[list[Tensor]], step: Callable[[list[Tensor]], Tensor]
    ) -> list[Tensor]:
        """Return one gradient for each parameter; a head gets that of its own task alone.

        Args:
            gradients: for each task, one gradient for each parameter.
            step: combines the two tasks' gradients of the backbone, (n,) each, into one (n,).
        """
        shared = {id(parameter) for parameter in self.backbone.parameters()}
        is_shared = [id(parameter) in shared for parameter in self.learning()]
        both = [[g for g, is_so in zip(own, is_shared, strict=True) if is_so] for own in gradients]
        made = iter(shaped(step([flat(own) for own in both]), both[0]))
        sums = (sum(own[1:], own[0]) for own in zip(*gradients, strict=True))
        return [next(made) if is_so else own for own, is_so in zip(sums, is_shared, strict=True)]


def flat(gradients: list[Tensor]) -> Tensor:
    """Return gradients as one vector, (n,)."""
    return torch.cat([part.flatten() for part in gradients])


def shaped(vector: Tensor, like: list[Tensor]) -> list[Tensor]:
    """Return a vector (n,) in the shapes of gradients."""
    parts = torch.split(vector, [part.numel() for part in like])
    return [part.view_as(own) for part, own in zip(parts, like, strict=True)]
