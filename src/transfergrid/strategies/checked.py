"""Checks of a strategy's phases and losses: mistakes raise a one-line error before training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from torch import Tensor

from transfergrid.data.batches import StreamName
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.training import SCHEDULES
from transfergrid.strategies.phases import Group, Objective, Phase


def listed(phases: object, of: str) -> list[Phase]:
    """Return the phases as a list; raise if phases, streams, objectives or groups are no lists.

    Any sequence will do; a single phase, stream, objective or group is refused.

    Args:
        phases: what `Strategy.phases` returned.
        of: the strategy's name, for messages.

    Raises:
        BadInputError: something else stands where a list is expected.
    """
    found = _all(Phase, phases, f"{of}.phases()")
    for phase in found:
        _all(str, phase.reads, f"{of}, phase {phase.name!r}: reads")
        for objective in _all(
            Objective, phase.objectives, f"{of}, phase {phase.name!r}: objectives"
        ):
            _all(Group, objective.learns, f"{of}, phase {phase.name!r}: learns")
    return found


def checked(phases: object, of: str) -> list[Phase]:
    """Return the phases of an attached strategy as a list, if they can be trained; see `listed`.

    Raises:
        BadInputError: a value is out of range, a name is unknown, an objective has no parameters,
            groups contradict each other, or the shares sum to more than 1 without an `until`.
    """
    found = listed(phases, of)
    for phase in found:
        _check(phase, f"{of}, phase {phase.name!r}")
    own = [phase for phase in found if phase.counts == "steps" and phase.objectives]
    total = sum(phase.share for phase in own)
    if total > 1 + 1e-6 and not any(phase.until for phase in own):
        raise BadInputError(
            f"{of}: the shares of its phases make {total:.4g}; 1 is as many steps as every other "
            "arm takes"
        )
    return found


def _check(phase: Phase, where: str) -> None:
    for name in phase.reads:
        check_known(f"stream ({where})", name, get_args(StreamName))
    if not phase.share > 0 or not 0 < (1 if phase.every is None else phase.every) <= 1:
        raise BadInputError(f"{where}: share must be above 0, and every above 0 and at most 1")
    if isinstance(phase.schedule, str):
        check_known(f"schedule ({where})", phase.schedule, SCHEDULES)
    if phase.lr_factor is not None and not 0 < phase.lr_factor < math.inf:
        raise BadInputError(f"{where}: lr_factor must be above 0, and is {phase.lr_factor}")
    _check_dial(phase, where)
    for objective in phase.objectives:
        if objective.repeat < 1 or (phase.combine is not None and objective.repeat > 1):
            raise BadInputError(
                f"{where}: an objective repeats {objective.repeat} times; it must at least once, "
                "and just once where combine makes one step of all objectives"
            )
        if not any(group.parameters for group in objective.learns):
            names = ", ".join(group.name for group in objective.learns) or "there is no group"
            raise BadInputError(f"{where}: an objective has no parameter to learn ({names})")
    for fault in _faults([group for o in phase.objectives for group in o.learns]):
        raise BadInputError(f"{where}: {fault}")


def _check_dial(phase: Phase, where: str) -> None:
    dial = phase.dial
    if dial is not None and phase.objectives:
        raise BadInputError(f"{where}: a dial is of a phase without objectives, after the steps")
    if dial is not None and dial.default not in dial.values:
        told = f"{dial.default}, the default of dial {dial.name!r},"
        raise BadInputError(f"{where}: {told} is none of its values {list(dial.values)}")


def _all(kind: type[Any], told: object, where: str) -> list[Any]:
    """Return `told` as a list of `kind`; raise if it is a single one, which may be a tuple too."""
    listed = isinstance(told, Sequence) and not isinstance(told, (str, kind))
    if not listed or not all(isinstance(part, kind) for part in told):  # type: ignore[attr-defined]
        said = f"one {kind.__name__} alone" if isinstance(told, kind) else f"{told!r:.60}"
        raise BadInputError(f"{where} must be a list of {kind.__name__}, and is {said}")
    return list(told)  # type: ignore[call-overload,no-any-return]


def _faults(groups: Sequence[Group]) -> Iterator[str]:
    """Yield a message for each fault of a phase's groups."""
    named: dict[str, Group] = {}
    where: dict[int, str] = {}
    for group in groups:
        if not math.isfinite(group.factor_now) or group.factor_now < 0:
            yield f"the group {group.name!r} learns at {group.factor_now} times the rate"
        known = named.setdefault(group.name, group)
        if _members(known) != _members(group) or known[2:] != group[2:]:
            yield f"two groups are called {group.name!r} and differ: give each a name"
        for member in _members(group):
            other = where.setdefault(member, group.name)
            if other != group.name:
                yield f"groups {other!r} and {group.name!r} share a parameter, which has one rate"


def _members(group: Group) -> set[int]:
    return {id(parameter) for parameter in group.parameters}


def checked_loss(loss: object, phase: Phase) -> Tensor:
    """Return an objective's loss.

    Raises:
        BadInputError: it is not a tensor with one element.
    """
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        told = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise BadInputError(f"a loss of phase {phase.name!r} must return one number, not {told}")
    return loss
