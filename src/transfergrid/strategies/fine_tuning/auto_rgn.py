"""Fine-tune each tensor at a rate proportional to its relative gradient norm, |g| / |w|."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from transfergrid.records.seeds import generator
from transfergrid.strategies import (
    Baselines,
    Count,
    Data,
    Group,
    Objective,
    Phase,
    Sizes,
    Strategy,
    rates,
    take,
)

LOOKS = 20
"""Most measurements of the rates in a run, by default: on tiny data an epoch is a single step."""


def relative_rates(gradients: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Return each tensor's ratio |g| / |w|, divided by the largest ratio, (tensors,).

    An all-zero tensor has no ratio: its rate is 1, and it does not count for the largest. If all
    gradients are 0, all rates are 1.
    """
    slopes, sizes = (torch.stack([part.norm() for part in parts]) for parts in (gradients, weights))
    ratios = torch.where(sizes > 0, slopes / sizes.where(sizes > 0, 1.0), 0.0)
    largest = ratios.max()
    if largest == 0:
        return torch.ones_like(ratios)
    return torch.where(sizes > 0, ratios / largest, 1.0)


class Rates(nn.Module):
    """The current rate of each tensor, and the sum and number of all rates measured so far.

    Args:
        tensors: their number.
    """

    now: Tensor
    total: Tensor
    looks: Tensor

    def __init__(self, tensors: int) -> None:
        super().__init__()
        self.register_buffer("now", torch.ones(tensors))
        self.register_buffer("total", torch.zeros(tensors))
        self.register_buffer("looks", torch.zeros((), dtype=torch.int64))

    def take(self, found: Tensor) -> None:
        """Use these rates from now on, and add them to the sum."""
        self.now.copy_(found)
        self.total += found
        self.looks += 1


class AutoRGN(Strategy):
    """Auto-RGN: who has a large gradient for its size learns fast, everyone else next to nothing.

    The rates are measured again at each epoch of the labelled examples, without dropout and with
    BatchNorm's running statistics; the optimiser keeps its moments. The norms are of the gradient
    of the mean loss over the examples. Parameters of norm layers are treated as all others. The
    record's `told` has the mean rate of each layer, its importance.

    Formula:
        lr_i = lr * r_i / max_j r_j,  r_i = |dL/dw_i| / |w_i|

    Try it:
        Where some part of the source does not fit the target and you do not know which; or to see
        which layers matter. Not where new weights start near zero: their ratio dwarfs all others.

    Cost:
        Full fine-tuning and, once an epoch, a forward and backward pass of the measured examples,
        for which all examples are read. Nothing more at prediction.

    Source:
        Lee et al. 2023, Surgical Fine-Tuning Improves Adaptation to Distribution Shifts (arXiv
        2210.11466), section 4, Auto-RGN.

    Args:
        every: number of steps between two measurements of the rates; null: an epoch, but at least a
            twentieth of all steps.
        examples: how many are measured each time, at most; of more, a subset that the seed block
            draws.
        shared: see `Strategy`.
    """

    baselines = Baselines(exploratory=["full_finetuning", "layerwise_lr"])
    space = {"lr_factor": rates(9.5, brief=3.0, small_images=9.5, images=10.0, text=9.5)}
    also_called = ("surgical_auto_rgn", "autorgn", "relative_gradient_norm", "layer_importance")
    badges = ("formula_exact", "trajectory_exact")

    def __init__(self, every: Count | None = None, examples: Count = 1024, **shared: Any) -> None:
        super().__init__(**shared)
        self.every, self.examples = every, examples

    def build(self, sizes: Sizes) -> None:
        plan = self.training_plan
        epoch = max(-(-sizes.target // plan.batch_size), -(-plan.steps // LOOKS), 1)
        self.share = min(1.0, (self.every or epoch) / max(1, plan.steps))
        self.named = [
            *self.head.named_parameters("head"),
            *self.backbone.named_parameters("backbone"),
        ]
        self.scaffold["rates"] = Rates(len(self.named))
        self.groups = [
            Group(name, [parameter], partial(self.rate, i))
            for i, (name, parameter) in enumerate(self.named)
        ]

    @property
    def found(self) -> Rates:
        """The module that holds the measured rates."""
        found = self.scaffold["rates"]
        assert isinstance(found, Rates)
        return found

    def rate(self, number: int) -> float:
        """Return the rate factor of one tensor for the next step."""
        return float(self.found.now[number])

    def phases(self) -> list[Phase]:
        learns = Objective(self.loss, self.groups)
        return [Phase("train", [learns], before=self.look, every=self.share)]

    def look(self, data: Data) -> None:
        """Measure the rates again, on the labelled target examples."""
        assert data.target is not None
        weights = [parameter for _, parameter in self.named]
        sums = [torch.zeros_like(weight) for weight in weights]
        looked_at = self._drawn(len(data.target))
        for batch in data.target.batches():
            assert batch.rows is not None
            few = looked_at[batch.rows.cpu()].nonzero()[:, 0].to(batch.labels.device)
            if not len(few):
                continue
            with torch.enable_grad():
                said = self.predict(take(batch.inputs, few))
                loss = self.task.loss(said, batch.labels[few]) * len(few)
            slopes = torch.autograd.grad(loss, weights, allow_unused=True)
            for total, slope in zip(sums, slopes, strict=True):
                total += 0 if slope is None else slope
        self.found.take(relative_rates(sums, weights))

    def _drawn(self, count: int) -> Tensor:
        """Return the mask of the examples to measure, the same each time: (count,) bool."""
        order = generator(self.block_seed, "auto_rgn").permutation(count)
        drawn = torch.zeros(count, dtype=torch.bool)
        drawn[torch.from_numpy(order[: self.examples])] = True
        return drawn

    def tells(self) -> dict[str, Any]:
        """Return the mean rate of each layer, over all measurements and its tensors."""
        means = (self.found.total / self.found.looks.clamp(min=1)).tolist()
        layers: dict[str, list[float]] = {}
        for (name, _), mean in zip(self.named, means, strict=True):
            layers.setdefault(name.rpartition(".")[0], []).append(mean)
        return {"importance": {name: sum(own) / len(own) for name, own in layers.items()}}
