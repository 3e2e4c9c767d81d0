"""What strategies share that learn one task after the other, the target's last."""

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
"""Those of `multitask`, which learns the same tasks at once."""
SOURCE: tuple[StreamName, ...] = ("source",)


class OneAfterTheOther(Strategy):
    """Each source domain is a link, learned with a head of its own; the target comes last.

    Each link takes as many steps as the cell's training has, which its record counts apart, as it
    does with a teacher's. After each of them, what was learned before is scored on test parts of
    its own: how much of it is forgotten is in the record, link by link.

    Args:
        links: names of the source's domains in the order in which they are learned; null: by name.
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
        self.scaffold["heads"] = nn.ModuleList(heads)  # none where it is made again to predict

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
        """Return what learns a link, or last of all the target, beside its head."""
        return [self.backbone_group()]

    def of_link(self, place: int, batch: Batch, progress: float) -> Tensor:
        """Return the loss of one link."""
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
        """Return features (batch, dim) for the task at a place, as they are, or were after one."""
        raise NotImplementedError

    def holding(self, place: int, inputs: Inputs, features: Tensor) -> Tensor | float:
        """Return what holds the links before a place to what they were, beside its own loss.

        Args:
            place: of the task that is learned.
            inputs: of its batch.
            features: of these as they are now, (batch, dim).
        """
        return 0.0

    def learned(self, place: int, data: Data) -> None:
        """Keep what is needed of a link that was just learned."""

    def other_tasks(self) -> list[Other]:
        """Return each link after itself, after each one behind it, and after the target."""
        stages = [*range(len(self.heads)), None]
        return [
            Other(place, partial(self.said_of, place, after), called(after))
            for place in range(len(self.heads))
            for after in stages[place:]
        ]

    def said_of(self, place: int, after: int | None, inputs: Inputs) -> Tensor:
        """Return what a link's head makes of inputs, as it was after another, or is at the end."""
        outputs: Tensor = self.heads[place](self.embedded(place, inputs, after))
        return outputs


def called(place: int | None) -> str:
    """Return what a link is called in records; empty for the end, after the target."""
    return "" if place is None else f"link {place + 1}"
