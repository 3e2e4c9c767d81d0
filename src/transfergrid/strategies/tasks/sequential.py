"""One task after the other on one backbone, the target last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from transfergrid.strategies import Count, Data, Inputs, NotNegative, Range, Sizes
from transfergrid.strategies.held_near.learning_without_forgetting import forgotten
from transfergrid.strategies.tasks.chain import RATES, OneAfterTheOther
from transfergrid.strategies.tasks.ewc import fisher, pull
from transfergrid.strategies.tasks.on_one_trunk import flat

Keep = Literal["nothing", "ewc", "learning_without_forgetting"]
WEIGHTS: dict[Keep, float] = {"nothing": 0.0, "ewc": 400.0, "learning_without_forgetting": 1.0}
"""Default weights, those of the methods on their own."""
TEMPERATURE = 2.0


class Sequential(OneAfterTheOther):
    """Learn a chain of tasks, one after the other, all weights moving on; the target comes last.

    The links are the source's domains, in the order of `links`; a link's head is frozen once it is
    learned. With `keep=ewc` each earlier link adds a penalty that pulls the weights to those after
    that link, weighted by its Fisher information. With `keep=learning_without_forgetting` the heads
    of earlier links must keep the outputs that they had before this link, on its inputs. Only
    `progressive_columns` forgets nothing at all.

    Formula:
        CE(link), then CE(next link) + weight sum over earlier links of EWC's or LwF's penalty, ...,
        then the same of the target
    Try it:
        where several tasks lead towards the target, each more specific than the one before; compare
        with `multitask`, and with the last link alone as the source
    Cost:
        one full fine-tuning for each link and for the target; with `ewc`, for each link, what its
        page says; with `learning_without_forgetting` one more forward pass a step
    Source:
        McCloskey & Cohen 1989, Catastrophic interference in connectionist networks, for the plain
        chain; the pages of `ewc` and `learning_without_forgetting` for the penalties

    Args:
        links: names of the source's domains in the order of learning; null: in order of name.
        keep: what preserves earlier links: `nothing`, `ewc` or `learning_without_forgetting`.
        weight: weight of its penalties; null: 400 for `ewc`, 1 for `learning_without_forgetting`.
        examples: number of examples of each link for its Fisher information.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    badges = ("trajectory_exact",)
    also_called = ("chain", "continual", "sequential_finetuning")
    optional = ("links", "weight")
    space = {"lr_factor": RATES, "weight": Range(0.1, 1e5, default=None)}

    def __init__(
        self,
        links: Sequence[str] | None = None,
        keep: Keep = "nothing",
        weight: NotNegative | None = None,
        examples: Count = 200,
        **shared: Any,
    ) -> None:
        super().__init__(links, **shared)
        self.keep, self.examples = keep, examples
        self.weight = WEIGHTS[keep] if weight is None else weight

    def build(self, sizes: Sizes) -> None:
        super().build(sizes)
        after = [self.copied(self.backbone) for _ in self.heads]
        self.scaffold["after"] = nn.ModuleList(after)
        many = sum(parameter.numel() for parameter in self.backbone.parameters())
        rows = len(self.heads) if self.keep == "ewc" else 0
        self.scaffold.register_buffer("fisher", torch.zeros(rows, many))

    def learned(self, place: int, data: Data) -> None:
        self._after(place).load_state_dict(self.backbone.state_dict())
        if self.keep == "ewc" and self.weight:
            found = fisher(
                lambda inputs: self.heads[place](self.backbone(inputs)),
                [*self.backbone.parameters()],
                data.source[place],
                self.examples,
            )
            self.scaffold.get_buffer("fisher")[place] = found

    def _after(self, place: int) -> nn.Module:
        found: nn.Module = self.scaffold["after"][place]  # type: ignore[index]
        return found

    def embedded(self, place: int, inputs: Inputs, after: int | None = None) -> Tensor:
        found: Tensor = self.features(inputs) if after is None else self._after(after)(inputs)
        return found

    def holding(self, place: int, inputs: Inputs, features: Tensor) -> Tensor | float:
        if not place or not self.weight or self.keep == "nothing":
            return 0.0
        if self.keep == "ewc":
            return self.weight * self._pulled(place)
        return self.weight * self._repeated(place, inputs, features)

    def _pulled(self, place: int) -> Tensor:
        """Return the sum of EWC's penalties for the links before a place."""
        now, each = flat([*self.backbone.parameters()]), self.scaffold.get_buffer("fisher")
        pulls = [
            pull(each[link], now - flat([*self._after(link).parameters()])) for link in range(place)
        ]
        return torch.stack(pulls).sum()

    def _repeated(self, place: int, inputs: Inputs, features: Tensor) -> Tensor:
        """Return the sum of LwF's penalties for the heads of the links before a place."""
        with torch.no_grad():
            before = self._after(place - 1)(inputs)
        each = [
            forgotten(head(before).detach(), head(features), TEMPERATURE)
            for head in self.heads[:place]
        ]
        return torch.stack(each).sum()
