"""What methods share that learn from described classes of a source, for others of the target."""

from typing import ClassVar

import torch
from torch import Tensor

from transfergrid.records.needs import Transferred
from transfergrid.strategies import Baselines, Data, Needs, Phase, Sizes, Strategy


class ByDescription(Strategy):
    """The frozen source, and what its classes' descriptions say of features.

    No example of the target is learned from: its classes come as descriptions alone, which are a
    part of what its head is. A class of its own says what is learned, and how descriptions score.
    """

    needs = Needs("weights", "unused", 1, "described", steps=False, tasks=("classification",))
    baselines = Baselines(None, "majority", exploratory=["prototypes@1", "prototypes@5"])
    transfers: ClassVar[Transferred] = "relations"

    def build(self, sizes: Sizes) -> None:
        self.head = torch.nn.Linear(self.backbone.dim, self.task.outputs)

    def phases(self) -> list[Phase]:
        return [Phase("solve", reads=["source", "attributes"], before=self.solve)]

    def solve(self, data: Data) -> None:
        """Fit it to the source, then give the target's classes their scores."""
        raise NotImplementedError


def seen(data: Data) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what is learned from, in float64: features, labels, and descriptions of both.

    They are features of the source's examples (n, dim), their labels (n,), descriptions of its
    classes (seen, d) and of the target's (classes, d).
    """
    (source,), (described,) = data.source, data.described
    assert data.attributes is not None
    return (
        source.features().double(),
        source.labels,
        described.double(),
        data.attributes.double(),
    )
