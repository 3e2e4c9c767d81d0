"""The base class of strategies that learn one task after the other, the target last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from transfergrid.data.regression import Regression
from transfergrid.records.needs import Transferred
from transfergrid.strategies import (
    Baselines,
    Batch,
    Data,
    Group,
    ImpossibleError,
    Inputs,
    Needs,
    Objective,
    Other,
    Phase,
    Sizes,
    Strategy,
    StreamName,
    rates,
)

CHAINED = Needs(
    source="start", domains=2, tasks=("classification",), layers="some", ordered_by="links"
)
COMPARED = Baselines(exploratory=["full_finetuning", "multitask"])
RATES = rates(9.5, small_images=3.0, images=0.3, text=0.1)
"""The rates of `multitask`, which learns the same tasks jointly."""
SOURCE: tuple[StreamName, ...] = ("source",)


class OneAfterTheOther(Strategy):
    """Each source domain is a link, learned with a head of its own; the target comes last.

    Each link takes as many steps as the cell's training has; the record counts them separately,
    like a teacher's. After each link, and after the target, all links so far are scored on their
    own test parts: the record shows, link by link, how much is forgotten.

    Args:
        links: names of the source's domains in the order of learning; null: in order of name.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    needs, baselines, space = CHAINED, COMPARED, {"lr_factor": RATES}
    transfers: ClassVar[Transferred] = "parameters"
    optional: ClassVar[tuple[str, ...]] = ("links",)
    closed_to: ClassVar[Mapping[str, str]] = {
        "probe_first": "what the target's head is put on is learned in the links before"
    }

    def __init__(self, links: Sequence[str] | None = None, **shared: Any) -> None:
        super().__init__(**shared)
        self.links = links

    def build(self, sizes: Sizes) -> None:
        if any(isinstance(task, Regression) for task in self.source_tasks):
            raise ImpossibleError(
                "a chain is of tasks that tell classes apart, and the labels of a link are numbers"
            )
        heads = [task.head(self.backbone.dim) for task in self.source_tasks]
        self.scaffold["heads"] = nn.ModuleList(heads)  # none if it is rebuilt to predict

    @property
    def heads(self) -> list[nn.Module]:
        """The heads of the links, in their order."""
        heads = self.scaffold["heads"]
        assert isinstance(heads, nn.ModuleList)
        return [*heads]

    def phases(self) -> list[Phase]:
        found: list[Phase] = []
        for place, head in enumerate(self.heads):
            own = [*self.learners(place), Group(f"head {place + 1}", head.parameters())]
            learn = [Objective(partial(self.of_link, place), own)]
            name = called(place)
            found.append(
                Phase(name, learn, reads=SOURCE, counts="teacher", judged=False, cached=False)
            )
            after = partial(self.learned, place)
            found.append(Phase(f"after {name}", before=after, reads=SOURCE, judged=False))
        own = [self.head_group(), *self.learners(len(self.heads))]
        return [*found, Phase("target", [Objective(self.loss, own)], cached=False)]

    def learners(self, place: int) -> list[Group]:
        """Return the groups that learn a link, or at the last place the target, beside its head."""
        return [self.backbone_group()]

    def of_link(self, place: int, batch: Batch, progress: float) -> Tensor:
        """Return the loss of one link, including `holding`."""
        seen = batch.source[place]
        features = self.embedded(place, seen.inputs)
        loss = self.source_tasks[place].loss(self.heads[place](features), seen.labels)
        return loss + self.holding(place, seen.inputs, features)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.target is not None
        seen, last = batch.target, len(self.heads)
        features = self.embedded(last, seen.inputs)
        loss = self.task.loss(self.head(features), seen.labels)
        return loss + self.holding(last, seen.inputs, features)

    def embedded(self, place: int, inputs: Inputs, after: int | None = None) -> Tensor:
        """Return features (batch, dim) for a place's task, now or as they were after a link."""
        raise NotImplementedError

    def holding(self, place: int, inputs: Inputs, features: Tensor) -> Tensor | float:
        """Return a penalty that preserves the links before a place, added to the task's loss.

        Args:
            place: place of the task that is learned.
            inputs: inputs of its batch.
            features: their current features, (batch, dim).
        """
        return 0.0

    def learned(self, place: int, data: Data) -> None:
        """Store what will be needed of a link that has just been learned."""

    def other_tasks(self) -> list[Other]:
        """Return each link as scored after itself, after each later link, and after the target."""
        stages = [*range(len(self.heads)), None]
        return [
            Other(place, partial(self.said_of, place, after), called(after))
            for place in range(len(self.heads))
            for after in stages[place:]
        ]

    def said_of(self, place: int, after: int | None, inputs: Inputs) -> Tensor:
        """Return a link's outputs for inputs, as they were after some link, or are at the end."""
        outputs: Tensor = self.heads[place](self.embedded(place, inputs, after))
        return outputs


def called(place: int | None) -> str:
    """Return the name of a link in records; empty for the end, after the target."""
    return "" if place is None else f"link {place + 1}"
