"""Layer-wise decay: learning rates that fall from the head towards the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from torch import nn

from transfergrid.strategies.composition.additions import Addition, Composed, own_learners, refusal
from transfergrid.strategies.phases import Group, Objective, Phase


class FallingRates(Addition):
    """Let each coarse block learn at a multiple of the rate of the next block towards the head.

    The block next to the head is multiplied by the factor once, as in `layerwise_lr` (Howard &
    Ruder 2018, section 3.2). A group's own factor is multiplied by it. Parameters outside the
    backbone keep their rates.
    """

    key = "layer_decay"

    def prepare(self, strategy: Composed, value: float) -> None:
        """Check that a layer of the backbone learns.

        Raises:
            ImpossibleError: no layer of the backbone learns.
        """
        if not {id(p) for p in strategy.backbone.parameters()} & own_learners(strategy):
            raise refusal(self.key, "no layer of the backbone learns")

    def phases(self, strategy: Composed, value: float, phases: list[Phase]) -> list[Phase]:
        """Return the strategy's phases with its groups split by block."""
        named = dict(strategy.backbone.named_parameters())
        blocks = strategy.backbone.blocks("coarse")
        place = {id(named[n]): i for i, block in enumerate(blocks) for n in block.parameters}
        factors = {i: value ** (len(blocks) - i) for i in range(len(blocks))}
        names = [block.name for block in blocks]

        def divided(objective: Objective) -> Objective:
            groups = [part for g in objective.learns for part in _parts(g, place, factors, names)]
            return objective._replace(learns=groups)

        return [
            replace(phase, objectives=[divided(o) for o in phase.objectives])
            if phase.counts == "steps"
            else phase
            for phase in phases
        ]


def _parts(
    group: Group, place: dict[int, int], factors: dict[int, float], names: list[str]
) -> Iterator[Group]:
    """Yield a group's parameters by block, with its factor; those in no block come first."""
    found: dict[int, list[nn.Parameter]] = {}
    for parameter in group.parameters:
        found.setdefault(place.get(id(parameter), -1), []).append(parameter)
    for number, members in sorted(found.items()):
        if number < 0:
            yield group._replace(parameters=tuple(members))
            continue
        name, own = f"{group.name}: {names[number]}", factors[number]
        told = group.factor
        factor = _Product(told, own) if callable(told) else told * own
        yield Group(name, members, factor, group.decay)


@dataclass(frozen=True)
class _Product:
    """A changing factor times a constant one."""

    changing: Callable[[], float]
    other: float

    def __call__(self) -> float:
        return self.changing() * self.other
