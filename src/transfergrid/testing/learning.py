"""Checks of one step: what a strategy reads, what it minimises, what learns from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from transfergrid.data.batches import Batch, CellData
from transfergrid.data.budgets import draw
from transfergrid.records.factory import config_of
from transfergrid.records.needs import Needs
from transfergrid.runs.allowed import add_source_domain, target_data
from transfergrid.runs.cell import teach
from transfergrid.runs.stages import Setup
from transfergrid.strategies.base import Strategy
from transfergrid.testing.bench import MANY, SEED, Bench, expect
from transfergrid.testing.tiny import TinyDomain


class Watched:
    """Stands for an object and notes which of its attributes are read."""

    def __init__(self, inner: object) -> None:
        self.inner = inner
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(self.inner, name)


def reads_only_what_it_declares(bench: Bench) -> None:
    """No part of a batch or of a cell's data is read that `needs` does not declare."""
    setup = bench.set_up(bench.budgets()[-1])
    teach(setup, SEED, bench.machine)
    everything = _everything(setup, bench.domain(shift=0.4))
    data, batch = Watched(everything), Watched(bench.batch(everything))
    setup.strategy.prepare(cast(CellData, data))
    setup.strategy.train()
    if setup.strategy.trainable():
        setup.strategy.loss(cast(Batch, batch), 0.5)
    needs = bench.strategy_class.needs
    _expect_declared("prepare reads data", data.read, _undeclared(needs))
    _expect_declared("loss reads batch", batch.read, _undeclared(needs))


def _everything(setup: Setup, source: TinyDomain) -> CellData:
    """Return all the data that any strategy may get, whatever this one declares."""
    labels = setup.target.loaded.pool.labels
    drawn = draw(labels, len(setup.target.classes), MANY, SEED)
    data = target_data(setup.target, drawn, Needs(unlabelled=True), setup.preprocess)
    add_source_domain(data, config_of(source), True, setup.preprocess)
    return data


def _undeclared(needs: Needs) -> dict[str, str]:
    """Return the attributes that this strategy must leave alone: name to what would declare it."""
    found: dict[str, str] = {}
    if not needs.source_domain:
        found |= dict.fromkeys(("source", "source_classes"), "source_domain=True")
    if not needs.unlabelled:
        found["unlabelled"] = "unlabelled=True"
    if needs.target_labels == "unused":
        found |= dict.fromkeys(("target", "index", "train", "validation"), 'target_labels="..."')
    return found


def _expect_declared(where: str, read: set[str], undeclared: Mapping[str, str]) -> None:
    for name in sorted(read & undeclared.keys()):
        expect(
            False,
            f"{where}.{name}, which is None in real cells of this strategy",
            f"Declare it in needs ({undeclared[name]}), in class and YAML, or do not read it",
        )


def loss_is_a_finite_scalar(bench: Bench) -> None:
    """From first to last step the loss is one finite number with a gradient."""
    for labels in bench.budgets():
        setup = bench.prepared(labels)
        if not setup.strategy.trainable():
            return
        for progress in (0.0, 0.5, 1.0):
            _expect_loss(setup.strategy.loss(bench.batch(setup.data), progress), progress)


def _expect_loss(loss: object, progress: float) -> None:
    where = f"loss at progress {progress}"
    expect(isinstance(loss, Tensor), f"{where} is a {type(loss).__name__}", "Return a tensor")
    assert isinstance(loss, Tensor)
    expect(
        loss.ndim == 0,
        f"{where} has the shape {tuple(loss.shape)}",
        "Reduce it to one number, usually by the mean over the batch",
    )
    expect(
        bool(torch.isfinite(loss)),
        f"{where} is {loss.item()}",
        "Look for a logarithm or a division by zero; clamp, or use the log_softmax forms",
    )
    expect(
        loss.requires_grad,
        f"{where} has no gradient",
        "Compute it from what trainable() returns, not under no_grad nor from detached tensors; "
        "a method that trains nothing returns [] from trainable()",
    )


def gradients_where_declared(bench: Bench) -> None:
    """Each group of trainable() gets a gradient, and nothing else does."""
    for labels in bench.budgets():
        setup = bench.prepared(labels)
        strategy, groups = setup.strategy, setup.strategy.trainable()
        if not groups:
            return
        strategy.loss(bench.batch(setup.data), 0.5).backward()  # type: ignore[no-untyped-call]
        for group in groups:
            expect(
                any(p.grad is not None and bool(p.grad.any()) for p in group.parameters),
                f"the group {group.name!r} of trainable() gets no gradient",
                "Let the loss depend on it (look for detach and no_grad), or take it out",
            )
        _expect_no_other(strategy)


def _expect_no_other(strategy: Strategy) -> None:
    learning = {id(p) for group in strategy.trainable() for p in group.parameters}
    names = [n for n, p in strategy.named_parameters() if p.grad is not None]
    others = [n for n in names if id(strategy.get_parameter(n)) not in learning]
    expect(
        not others,
        f"{', '.join(others)} gets a gradient, but is in no group of trainable()",
        "Add it to trainable() if it is to learn; else leave requires_grad as attach set it",
    )
