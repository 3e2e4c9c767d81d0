"""What strategies share that merge the weights of several sources into one network."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from transfergrid.strategies import Baselines, Data, Dial, Needs, Phase, Positive, Sizes, Strategy
from transfergrid.strategies.closed_form.logistic_probe import fit_head
from transfergrid.strategies.weight_space.batch_statistics import norms_of, retake, statistics_of

MERGES = Needs(each=True, steps=False, tasks=("classification",))
COMPARED = Baselines(exploratory=["logistic_probe", "full_finetuning"])
"""The same probe, and fine-tuning, on one network that learned all sources together."""


def flat(module: nn.Module) -> Tensor:
    """Return all parameters of a module as one vector, in their order."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])


def task_vectors(start: nn.Module, sources: Sequence[nn.Module]) -> Tensor:
    """Return what each source's training added to the start, (sources, weights)."""
    theirs = [flat(source) for source in sources]
    return torch.stack(theirs) - flat(start) if theirs else flat(start).new_zeros(0, 0)


@torch.no_grad()
def put_weights(module: nn.Module, weights: Tensor) -> None:
    """Write a vector into the parameters of a module, in their order; buffers stay as they are."""
    begin = 0
    for parameter in module.parameters():
        end = begin + parameter.numel()
        parameter.copy_(weights[begin:end].view_as(parameter))
        begin = end


class MergedSources(Strategy):
    """The start of several sources, moved by what their trainings added, under a logistic probe.

    All that is a parameter is merged, biases and the affine part of normalisation layers too. No
    head is: each source had its own, and the target's is the probe's, solved anew for every value
    of the dial. BatchNorm's statistics are taken anew over the target's training inputs, for those
    of no source are those of the sum; other buffers, such as counts of batches, are the start's.

    Args:
        c: inverse strength of the probe's penalty, as of `logistic_probe`.
    """

    needs, baselines = MERGES, COMPARED
    target_statistics = "recorded"

    def __init__(self, c: Positive = 1.0) -> None:
        super().__init__()
        self.c = c

    @property
    def starts_once(self) -> str:
        return "it begins with what the sources were trained from"

    @property
    @abstractmethod
    def dial(self) -> Dial:
        """What is chosen once all networks are there."""

    @abstractmethod
    def moved(self, vectors: Tensor, value: float) -> Tensor:
        """Return what is added to the start, (weights,), at a value of the dial.

        Args:
            vectors: what each source's training added, (sources, weights).
            value: of the dial.
        """

    def build(self, sizes: Sizes) -> None:
        keep, many = self.scaffold.register_buffer, len(self.dial.values)
        keep("start", flat(self.backbone))
        keep("vectors", task_vectors(self.backbone, self.each_source))
        norms = statistics_of(norms_of(self.backbone, self.backbone.parameters()))
        keep("statistics", torch.zeros(many, sum(part.numel() for part in norms)))
        keep("heads", torch.zeros(many, sum(p.numel() for p in self.head.parameters())))

    def phases(self) -> list[Phase]:
        return [Phase("merge", before=self.solve, dial=self.dial)]

    def solve(self, data: Data) -> None:
        """Find statistics and probe for each value of the dial."""
        assert data.target is not None
        norms = norms_of(self.backbone, self.backbone.parameters())
        for place, value in enumerate(self.dial.values):
            self._move(value)
            retake(norms, [data.target], self.backbone.embed)
            fit_head(self, data, self.c)
            self.scaffold.get_buffer("heads")[place] = flat(self.head)
            if norms:
                found = torch.cat([part.reshape(-1) for part in statistics_of(norms)])
                self.scaffold.get_buffer("statistics")[place] = found

    def put(self, value: float) -> None:
        """Be merged at this value of the dial."""
        place = list(self.dial.values).index(value)
        self._move(value)
        put_weights(self.head, self.scaffold.get_buffer("heads")[place])
        own, begin = self.scaffold.get_buffer("statistics")[place], 0
        for part in statistics_of(norms_of(self.backbone, self.backbone.parameters())):
            part.copy_(own[begin : begin + part.numel()].view_as(part))
            begin += part.numel()

    def _move(self, value: float) -> None:
        start, vectors = (self.scaffold.get_buffer(name) for name in ("start", "vectors"))
        put_weights(self.backbone, start + self.moved(vectors, value))

    def tells(self) -> dict[str, Any]:
        """Return how far each source lies from the start, and how alike their ways are."""
        vectors = self.scaffold.get_buffer("vectors")
        lengths = vectors.norm(dim=1)
        ways = torch.nn.functional.normalize(vectors, dim=1)
        return {"moved": lengths.tolist(), "cosines": (ways @ ways.T).tolist()}
