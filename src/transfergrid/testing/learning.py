"""Checks of single steps: what a strategy reads, what it minimises, and what learns from that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from transfergrid.data.torch_seed import seed_torch
from transfergrid.data.views import View
from transfergrid.records.cell import Labels
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Objective
from transfergrid.testing.bench import Bench, Moment, on_the_eve
from transfergrid.testing.found import expect, some
from transfergrid.testing.watched import check_loss, ids

Step = tuple[Moment, int, Objective]
"""A phase, the number of one of its objectives, and the objective."""


def reads_only_what_it_declares(bench: Bench) -> None:
    """A phase reads no stream of a batch or of a cell's data that it does not declare.

    Other streams are absent, and `watched`, which observes the checks' runs, reports reads of them.
    """
    for labels in bench.budgets():
        bench.trained(labels)


def combine_keeps_shapes(bench: Bench) -> None:
    """`combine` returns one gradient for each parameter; see `watched`."""
    reads_only_what_it_declares(bench)


def loss_is_a_finite_scalar(bench: Bench) -> None:
    """From the first to the last step, each loss is one finite number with a gradient."""
    for labels in bench.budgets():
        bench.trained(labels)
        for moment, _, objective in steps(bench, labels):
            for progress in (0.0, 1.0):
                loss = objective.loss(moment.batch, progress)
                check_loss(loss, f"a loss of phase {moment.phase.name!r} at progress {progress}")


def steps(bench: Bench, labels: Labels) -> Iterator[Step]:
    """Yield each objective of each phase, with the strategy as it is before the first step."""
    for moment in bench.moments(labels):
        for number, objective in enumerate(moment.phase.objectives):
            yield moment, number, objective


def gradients_where_declared(bench: Bench) -> None:
    """Each group of an objective gets a gradient from it, and nothing else in the phase does.

    If gradients are combined, all objectives have the same groups, and a gradient from one of them
    is enough.
    """
    for labels in bench.budgets():
        silent = set[str]()
        for moment in bench.moments(labels):
            _expect_no_other(moment)
            silent |= _silent(moment)
        if silent:  # weights at zero may block others' gradients at first: retry after training
            trained = bench.trained(labels).state
            silent &= set[str]().union(*(_silent(m, trained) for m in bench.moments(labels)))
        expect(
            not silent,
            f"{some(sorted(silent))} gets no gradient",
            "Let the loss depend on it (look for detach and no_grad), or take it out",
        )


def _silent(moment: Moment, state: Mapping[str, Tensor] | None = None) -> set[str]:
    """Return descriptions of the groups that get no gradient."""
    if state is not None:
        moment.strategy.load_state_dict(dict(state))
    where = f"of phase {moment.phase.name!r}"
    silent = [_without_gradient(moment, objective) for objective in moment.phase.objectives]
    if moment.phase.combine is not None:
        return {f"the group {name!r} {where}" for name in set[str].intersection(*silent)}
    return {
        f"the group {name!r} of objective {number} {where}"
        for number, names in enumerate(silent, 1)
        for name in names
    }


def _without_gradient(moment: Moment, objective: Objective) -> set[str]:
    parameters = [p for g in objective.learns for p in g.parameters]
    seed_torch(0)
    loss = objective.loss(moment.batch, 0.5)
    left = [n for n, p in moment.strategy.named_parameters() if p.grad is not None]
    expect(
        not left,
        f"a loss of phase {moment.phase.name!r} leaves gradients behind, of {some(left)}",
        "Return the loss and call no backward(): who learns, and clipping, are the driver's",
    )
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    has = {id(p) for p, g in zip(parameters, found, strict=True) if g is not None and bool(g.any())}
    groups = [group for group in objective.learns if group.parameters]
    return {g.name for g in groups if not any(id(p) in has for p in g.parameters)}


def _expect_no_other(moment: Moment) -> None:
    learning = ids(moment.phase)
    named = moment.strategy.named_parameters()
    others = [name for name, p in named if p.requires_grad and id(p) not in learning]
    expect(
        not others,
        f"{some(others)} asks for a gradient in phase {moment.phase.name!r}, but is in no group",
        "Add it to a group if it is to learn; else leave requires_grad as the driver sets it",
    )


def unlabelled_moves_no_statistics(bench: Bench) -> None:
    """BatchNorm's running statistics do not depend on the unlabelled inputs."""
    if bench.strategy_class.moves_statistics:
        return
    for labels in bench.budgets():
        for phase in bench.trained(labels).notes.phases:
            if phase.before is not None and {"unlabelled", "views"} & {*phase.reads}:
                one, other = (_prepared(bench, labels, same) for same in (False, True))
                _expect_unmoved(one, other, f"before of phase {phase.name!r}")
        for moment, _, objective in steps(bench, labels):
            if not {"unlabelled", "views"} & {*moment.phase.reads}:
                continue
            one, other = (_statistics(bench, moment, objective, step) for step in (0, 1))
            _expect_unmoved(one, other, f"phase {moment.phase.name!r}")


def _expect_unmoved(one: Mapping[str, Tensor], other: Mapping[str, Tensor], where: str) -> None:
    moved = [name for name in one if not torch.equal(one[name], other[name])]
    expect(
        not moved,
        f"{some(moved)} depends on the unlabelled inputs of {where}",
        "Call self.features(inputs, recorded=False) on them: with its weight at 0 the method must "
        "be its baseline; if it is the method, say moves_statistics = True",
    )


def _prepared(bench: Bench, labels: Labels, same: bool) -> dict[str, Tensor]:
    """Return BatchNorm's buffers after a cell's `before` calls.

    If `same`, the first unlabelled input stands in the place of all others.
    """
    setup = bench.set_up(labels)
    view = setup.data.unlabelled
    assert view is not None
    if same:
        setup.data.unlabelled = View(view.prepared, np.full_like(view.indices, view.indices[0]))
    driver = bench.driver(setup)
    for number, phase in enumerate(driver.phases):
        if phase.before is not None:
            on_the_eve(driver, number)
    return _buffers(setup.strategy)


def _statistics(bench: Bench, moment: Moment, objective: Objective, step: int) -> dict[str, Tensor]:
    """Return BatchNorm's buffers after a loss, with the unlabelled inputs of a given step."""
    strategy, other = moment.strategy, bench.batch(moment.setup.data, step, moment.phase.reads)
    batch = moment.batch
    mixed = type(batch)(**{**vars(batch), "unlabelled": other.unlabelled, "views": other.views})
    before = {name: value.detach().clone() for name, value in strategy.state_dict().items()}
    seed_torch(0)
    objective.loss(mixed, 0.5)
    found = _buffers(strategy)
    strategy.load_state_dict(before)
    return found


def _buffers(strategy: Strategy) -> dict[str, Tensor]:
    """Return copies of BatchNorm's buffers."""
    norm = nn.modules.batchnorm._BatchNorm
    return {
        f"{name}.{own}": value.detach().clone()
        for name, module in strategy.named_modules()
        if isinstance(module, norm)
        for own, value in module.named_buffers()
    }
