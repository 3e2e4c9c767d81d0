"""L2-SP: a penalty that pulls weights towards those of the source, in place of weight decay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Batch
from transfergrid.records.needs import Needs
from transfergrid.strategies.composition.additions import Addition, Composed, own_learners, refusal
from transfergrid.strategies.phases import Combine, Group, Loss, Objective, Phase

STARTS_AT_THE_SOURCE = ("weights", "head", "start")


class PulledToStart(Addition):
    """Add alpha / 2 |w - w0|^2 to each loss, over the backbone's weights that learn from it.

    It replaces the weight decay of these weights (Li et al. 2018, section 3). The head and blocks
    that are made anew have no initial values to be pulled to, and keep their weight decay.
    `strategy=l2_sp` also pulls the head to zero.
    """

    key = "l2_sp"

    @override
    def why_not(self, needs: Needs) -> str:
        starts = needs.source in STARTS_AT_THE_SOURCE and not needs.teacher
        return "" if starts else "what learns does not start from a source"

    def prepare(self, strategy: Composed, value: float) -> None:
        """Store the current values of the weights that learn and come from the source.

        Raises:
            ImpossibleError: there are none.
        """
        learning = own_learners(strategy)
        own = {n: p for n, p in _from_source(strategy).items() if id(p) in learning}
        if not own:
            raise refusal(self.key, "no layer of the backbone learns that is the source's")
        strategy.scaffold["l2_sp"] = _Starts(own)

    def start_again(self, strategy: Composed) -> None:
        """Store the current values of the weights again."""
        _starts(strategy).renew(dict(strategy.backbone.named_parameters()))

    def phases(self, strategy: Composed, value: float, phases: list[Phase]) -> list[Phase]:
        """Return the phases with the penalty added to each loss, or to each combined gradient."""
        names = {id(p): name for name, p in _from_source(strategy).items()}

        def apart(objective: Objective) -> Objective:
            groups = [part for group in objective.learns for part in _undecayed(group, names)]
            return objective._replace(learns=groups)

        def pulled(objective: Objective) -> Objective:
            own = [names[id(p)] for g in objective.learns for p in g.parameters if id(p) in names]
            loss = partial(_with_pull, strategy, objective.loss, value, tuple(own))
            return objective._replace(loss=loss) if own else objective

        def changed(phase: Phase) -> Phase:
            phase = replace(phase, objectives=[apart(o) for o in phase.objectives])
            if phase.combine is None:
                return replace(phase, objectives=[pulled(o) for o in phase.objectives])
            learning = [p for group in phase.learning() for p in group.parameters]
            own = tuple(names.get(id(p)) for p in learning)
            return replace(phase, combine=partial(_combined, strategy, phase.combine, value, own))

        return [changed(phase) if phase.counts == "steps" else phase for phase in phases]


class _Starts(nn.Module):
    """Initial values of parameters by name, kept in buffers so that a resumed run has them too."""

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        super().__init__()
        for name, parameter in parameters.items():
            self.register_buffer(name.replace(".", "/"), parameter.detach().clone())

    def of(self, name: str) -> Tensor:
        """Return the initial value of the parameter with this name."""
        return self.get_buffer(name.replace(".", "/"))

    @torch.no_grad()
    def renew(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Overwrite the initial values with the parameters' current values."""
        for name, start in self.named_buffers():
            start.copy_(parameters[name.replace("/", ".")])


def _starts(strategy: Composed) -> _Starts:
    own = strategy.scaffold["l2_sp"]
    assert isinstance(own, _Starts)
    return own


def _from_source(strategy: Composed) -> dict[str, nn.Parameter]:
    """Return the backbone's parameters that come from the source, by name."""
    given = {id(p) for p in strategy.inherited()}
    return {n: p for n, p in strategy.backbone.named_parameters() if id(p) in given}


def _undecayed(group: Group, names: dict[int, str]) -> list[Group]:
    """Split a group: parameters in `names` go without weight decay, the others are unchanged."""
    inside = tuple(p for p in group.parameters if id(p) in names)
    others = tuple(p for p in group.parameters if id(p) not in names)
    if not inside or not others:
        return [group._replace(decay=group.decay and not inside)]
    apart = group._replace(name=f"{group.name}: backbone", parameters=inside, decay=False)
    return [group._replace(parameters=others), apart]


def _combined(
    strategy: Composed,
    combine: Combine,
    alpha: float,
    names: Sequence[str | None],
    gradients: list[list[Tensor]],
) -> list[Tensor]:
    """Return a step's combined gradient plus the penalty's, added once for all objectives."""
    starts = strategy.scaffold["l2_sp"]
    assert isinstance(starts, _Starts)
    now = dict(strategy.backbone.named_parameters())
    return [
        gradient if name is None else gradient + alpha * (now[name].detach() - starts.of(name))
        for gradient, name in zip(combine(gradients), names, strict=True)
    ]


def _with_pull(
    strategy: Composed,
    loss: Loss,
    alpha: float,
    names: Sequence[str],
    batch: Batch,
    progress: float,
) -> Tensor:
    starts = _starts(strategy)
    now = dict(strategy.backbone.named_parameters())
    way = [0.5 * (now[name] - starts.of(name)).square().sum() for name in names]
    return loss(batch, progress) + alpha * torch.stack(way).sum()
