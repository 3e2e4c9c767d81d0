"""The base class of methods that learn over episodes of a source, then use the target's support."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from transfergrid.records.needs import Badge, Statistics, Transferred
from transfergrid.strategies import (
    Baselines,
    Batch,
    Count,
    Data,
    Group,
    Needs,
    Objective,
    Phase,
    Sizes,
    Strategy,
    rates,
)


class MetaLearned(Strategy):
    """Learns over episodes of a source's classes, then from the target's support.

    An episode has as many shots as the target, and by default as many ways. Subclasses define the
    loss of an episode, and how the support is used.

    Args:
        ways: number of classes in an episode; null: as many as the target has.
        queries: number of query examples of each class in an episode.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    needs = Needs(source="start", domains=1, tasks=("classification",))
    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    space = {"lr_factor": rates(0.3, small_images=1.0, images=0.3, text=0.1)}
    transfers: ClassVar[Transferred] = "parameters"
    target_statistics: ClassVar[Statistics | None] = "unseen"  # in eval mode for support and query
    badges: ClassVar[tuple[Badge, ...]] = ()
    optional = ("ways",)
    closed_to: ClassVar[Mapping[str, str]] = {
        "probe_first": "no head is learned: the support says what is predicted"
    }

    def __init__(self, ways: Count | None = None, queries: Count = 15, **shared: Any) -> None:
        super().__init__(**shared)
        self.ways, self.queries = ways, queries

    def build(self, sizes: Sizes) -> None:
        self.shots = max(1, sizes.target // self.task.outputs)

    def phases(self) -> list[Phase]:
        """Return two phases: episodes of the source, then the use of the target's support."""
        episode = (self.ways or self.task.outputs, self.shots, self.queries)
        learn = [Objective(self.loss, self.learners())]
        return [
            Phase("episodes", learn, reads=["episode"], episode=episode, judged=False),
            Phase("support", before=self.take),
        ]

    def learners(self) -> list[Group]:
        """Return the groups that learn over episodes."""
        return [self.backbone_group()]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Return the loss of an episode's queries, given its support."""
        raise NotImplementedError

    def take(self, data: Data) -> None:
        """Prepare prediction from the target's labelled examples."""
        raise NotImplementedError
