"""Checks of the phases that a strategy returns, without training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, get_args

import torch

from transfergrid.data.batches import StreamName
from transfergrid.records.needs import Needs
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Group, Phase
from transfergrid.testing.bench import Bench
from transfergrid.testing.found import expect, some

GRANTS: dict[StreamName, str] = {
    "target": 'target_labels="..."',
    "taught": "teacher=True",
    "again": 'target_labels="..."',
    "unlabelled": "unlabelled=True",
    "views": "unlabelled=True",
    "source": "domains=1",
    "episode": "domains=1",
    "attributes": 'classes="described"',
    "named": 'classes="named"',
}
"""The setting of `needs` that grants each stream."""


def phases_answer_alike(bench: Bench) -> None:
    """`phases` returns the same again, in either mode and with changed weights."""
    for labels in bench.budgets():
        strategy = bench.set_up(labels).strategy
        first = _told(strategy)
        strategy.train()
        bench.disturb()
        second = _told(strategy)
        with torch.no_grad():
            for parameter in strategy.parameters():
                parameter.mul_(1.5)
        third = _told(strategy.eval())
        expect(
            first == second == third,
            f"phases() answers otherwise when it is asked again ({_apart(first, second, third)})",
            "Let it depend on the arguments, the task and the parts alone, count nothing in it and "
            "make nothing; what is computed on the way belongs into before",
        )


def _apart(*answers: Sequence[tuple[Any, ...]]) -> str:
    """Return a description of the first difference between answers; empty if there is none."""
    for other in answers[1:]:
        if len(other) != len(answers[0]):
            return f"{len(answers[0])} phases became {len(other)}"
        for before, after in zip(answers[0], other, strict=True):
            for was, now in zip(before, after, strict=True):
                if was != now:
                    return f"{str(was)[:80]} became {str(now)[:80]}"
    return ""


def _told(strategy: Strategy) -> list[tuple[Any, ...]]:
    """Return phases as plain values that can be compared; functions are replaced by their names."""
    names = {id(p): name for name, p in strategy.named_parameters()}

    def group(told: Group) -> tuple[Any, ...]:
        members = tuple(names.get(id(p), "?") for p in told.parameters)
        return (told.name, members, _called(told.factor), told.decay)

    def phase(told: Phase) -> tuple[Any, ...]:
        objectives = tuple(
            (_called(o.loss), tuple(group(g) for g in o.learns), o.repeat) for o in told.objectives
        )
        between = (told.before, told.after, told.combine, told.until)
        functions = (*between, told.schedule, told.predicts)
        values = (told.every, told.lr_factor, told.cached, told.carries_on, told.counts)
        dial = told.dial and (told.dial.name, *told.dial.values, told.dial.default)
        called = (*(_called(function) for function in functions), dial)
        return (told.name, told.share, objectives, tuple(told.reads), called, values, told.episode)

    return [phase(told) for told in strategy.all_phases()]


PLAIN = (str, int, float, type(None))


def _called(function: Any) -> Any:
    """Return a function's name, with the plain values that a `partial` binds."""
    if isinstance(function, partial):
        told = [*function.args, *function.keywords.values()]
        return (_called(function.func), tuple(_called(value) for value in told))
    name = getattr(function, "__qualname__", None)
    return name or (function if isinstance(function, PLAIN) else type(function).__name__)


def _phases(bench: Bench) -> Iterator[tuple[Strategy, list[Phase]]]:
    for labels in bench.budgets():
        strategy = bench.set_up(labels).strategy
        yield strategy, list(strategy.all_phases())


def shares_make_one(bench: Bench) -> None:
    """The shares of its own phases sum to 1, so it takes as many steps as every other arm."""
    steps = bench.strategy_class.needs.steps
    for _, phases in _phases(bench):
        own = [p for p in phases if p.objectives and p.counts == "steps"]
        expect(
            bool(own) == steps,
            f"needs say steps={steps}, and {len(own)} of its phases have objectives",
            "A strategy with steps has objectives of its own, a closed form has none and says "
            "steps=False",
        )
        odd = [p.name for p in phases if not p.share > 0 or not 0 < (p.every or 1) <= 1]
        expect(not odd, f"phase {some(odd)} has a share or an every that is not above 0", "Mend it")
        total = sum(p.share for p in own)
        expect(
            not own or math.isclose(total, 1, abs_tol=1e-6) or any(p.until for p in own),
            f"the shares of its phases make {total:.4g}, not 1",
            "Divide the steps among the phases; only one that ends early by until may take more",
        )


def groups_are_its_own(bench: Bench) -> None:
    """In a phase each parameter is in one group only, and belongs to the strategy."""
    for strategy, phases in _phases(bench):
        names = {id(p): name for name, p in strategy.named_parameters()}
        for phase in phases:
            groups: dict[str, Group] = {}
            for group in [g for o in phase.objectives for g in o.learns]:
                _expect_known(group, names, phase)
                known = groups.setdefault(group.name, group)
                expect(
                    _same(known, group),
                    f"two groups of phase {phase.name!r} are called {group.name!r} and differ",
                    "Of groups of one name one alone would learn: give each its own",
                )
            _expect_apart(list(groups.values()), names, phase)


def _same(one: Group, other: Group) -> bool:
    members = [{id(p) for p in group.parameters} for group in (one, other)]
    return members[0] == members[1] and (one.factor, one.decay) == (other.factor, other.decay)


def _expect_known(group: Group, names: dict[int, str], phase: Phase) -> None:
    foreign = [p for p in group.parameters if id(p) not in names]
    expect(
        not foreign,
        f"the group {group.name!r} of phase {phase.name!r} has {len(foreign)} parameters that are "
        "not the strategy's",
        "Make modules and parameters in build, as attributes of self or in self.scaffold: what is "
        "in a plain list or dict is not trained on the right device, nor kept",
    )
    expect(
        math.isfinite(group.factor_now) and group.factor_now >= 0,
        f"the group {group.name!r} learns at {group.factor_now} times the rate",
        "Give it a factor from 0",
    )


def _expect_apart(groups: Sequence[Group], names: dict[int, str], phase: Phase) -> None:
    count = Counter(id(p) for group in groups for p in group.parameters)
    twice = [names[key] for key, number in count.items() if number > 1]
    expect(
        not twice,
        f"{some(twice)} is in two groups of phase {phase.name!r}",
        "Take it out of one: a parameter has one rate",
    )


def phases_read_what_needs_grant(bench: Bench) -> None:
    """No phase reads a stream that `needs` does not grant, and every granted stream is read."""
    granted = _granted(bench.strategy_class.needs)
    for _, phases in _phases(bench):
        for phase in phases:
            odd = [name for name in phase.reads if name not in get_args(StreamName)]
            known = f"Streams are {', '.join(GRANTS)}"
            expect(not odd, f"phase {phase.name!r} reads {some(odd)}", known)
            more = [name for name in phase.reads if not granted[name]]
            expect(
                not more,
                f"phase {phase.name!r} reads {some(more)}, which needs do not grant",
                f"Declare it in needs ({some([GRANTS[n] for n in more])}), in class and YAML, or "
                "do not read it",
            )
        read = {GRANTS[name] for phase in phases for name in phase.reads}
        idle = [name for name, given in granted.items() if given and GRANTS[name] not in read]
        expect(
            not idle,
            f"needs grant {some(idle)}, and no phase reads it",
            "Name it in a phase's reads, or do not ask for it: cells would wait for what they "
            "do not use",
        )


def _granted(needs: Needs) -> dict[StreamName, bool]:
    domains, unlabelled = needs.domains > 0, needs.unlabelled
    return {
        "target": needs.target_labels != "unused",
        "taught": needs.teacher,
        "again": needs.target_labels != "unused",
        "unlabelled": unlabelled,
        "views": unlabelled,
        "source": domains,
        "episode": domains,
        "attributes": needs.classes == "described",
        "named": needs.classes == "named",
    }
