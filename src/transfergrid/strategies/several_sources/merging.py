"""The base class of strategies that merge the weights of several sources into one network."""

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
"""Compared with the same probe, and with fine-tuning, on one network trained on all sources."""


def flat(module: nn.Module) -> Tensor:
    """Return all parameters of a module as one vector, in the order of `parameters()`."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])


def task_vectors(start: nn.Module, sources: Sequence[nn.Module]) -> Tensor:
    """Return the task vectors: each source's weights minus the start's, (sources, weights).

    Without sources the result is empty, (0, 0).
    """
    theirs = [flat(source) for source in sources]
    return torch.stack(theirs) - flat(start) if theirs else flat(start).new_zeros(0, 0)


@torch.no_grad()
def put_weights(module: nn.Module, weights: Tensor) -> None:
    """Write a vector made by `flat` into the parameters of a module; buffers stay as they are."""
    begin = 0
    for parameter in module.parameters():
        end = begin + parameter.numel()
        parameter.copy_(weights[begin:end].view_as(parameter))
        begin = end


class MergedSources(Strategy):
    """The start of several sources, moved by what their trainings added, under a logistic probe.

    All parameters of the backbone are merged, including biases and the affine part of normalisation
    layers. Heads are not: each source had its own, and the target's head is the probe, solved for
    every value of the dial. BatchNorm's statistics are recomputed over the target's training
    inputs, because no source's statistics fit the merged weights; other buffers, such as counts of
    batches, are the start's.

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
        """The hyperparameter that is chosen after merging."""

    @abstractmethod
    def moved(self, vectors: Tensor, value: float) -> Tensor:
        """Return the vector to add to the start, (weights,), for a value of the dial.

        Args:
            vectors: task vectors, (sources, weights).
            value: a value of the dial.
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
        """Compute and store BatchNorm statistics and the probe for each value of the dial."""
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
        """Set weights, head and BatchNorm statistics to those for this value of the dial."""
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
        """Return the norms of the task vectors and the cosines between them."""
        vectors = self.scaffold.get_buffer("vectors")
        lengths = vectors.norm(dim=1)
        ways = torch.nn.functional.normalize(vectors, dim=1)
        return {"moved": lengths.tolist(), "cosines": (ways @ ways.T).tolist()}
