"""The base class of methods that learn from a source's described classes, for other classes."""

from typing import ClassVar

import torch
from torch import Tensor

from transfergrid.records.needs import Transferred
from transfergrid.strategies import Baselines, Data, Needs, Phase, Sizes, Strategy


class ByDescription(Strategy):
    """Learns, on the frozen source, how descriptions of its classes relate to features.

    No example of the target is used: its classes are given as descriptions alone, from which the
    head is made. Subclasses define what is learned, and how descriptions score inputs.
    """

    needs = Needs("weights", "unused", 1, "described", steps=False, tasks=("classification",))
    baselines = Baselines(None, "majority", exploratory=["prototypes@1", "prototypes@5"])
    transfers: ClassVar[Transferred] = "relations"

    def build(self, sizes: Sizes) -> None:
        self.head = torch.nn.Linear(self.backbone.dim, self.task.outputs)

    def phases(self) -> list[Phase]:
        return [Phase("solve", reads=["source", "attributes"], before=self.solve)]

    def solve(self, data: Data) -> None:
        """Fit to the source, then set up the scores of the target's classes."""
        raise NotImplementedError


def seen(data: Data) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the training data: features, labels, and descriptions of both sets of classes.

    These are features of the source's examples (n, dim), their labels (n,), descriptions of its
    classes (seen, d) and of the target's (classes, d); all but the labels are float64.
    """
    (source,), (described,) = data.source, data.described
    assert data.attributes is not None
    return (
        source.features().double(),
        source.labels,
        described.double(),
        data.attributes.double(),
    )
