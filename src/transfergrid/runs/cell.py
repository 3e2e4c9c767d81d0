"""Run one cell, start to finish. Read this file from top to bottom and you know the program."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfergrid.data.inputs import Preprocess
from transfergrid.data.opened import OpenDomain, plain_features
from transfergrid.data.views import View
from transfergrid.records.cell import Cell
from transfergrid.records.errors import ImpossibleError
from transfergrid.records.factory import Config, build
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.needs import Needs
from transfergrid.records.printing import warn
from transfergrid.records.provenance import now
from transfergrid.records.record import Record, Tuning
from transfergrid.records.several import in_order, parts_of
from transfergrid.records.tracking import sent
from transfergrid.records.tracking.tracker import NoTracker, SafeTracker, Tracker, tracked
from transfergrid.records.training import Training
from transfergrid.runs import episodes, recording, run_cards, together
from transfergrid.runs.allowed import (
    add_named,
    add_source_domains,
    add_taught,
    pair_of,
    seen_classes,
    target_data,
)
from transfergrid.runs.checkpoints import Checkpoint
from transfergrid.runs.cost import (
    Stopwatch,
    as_precise,
    forward_flops,
    forward_seconds,
    reset_peak_memory,
)
from transfergrid.runs.curve import Fit, Log
from transfergrid.runs.diagnostics.brief import watch_over
from transfergrid.runs.driver import Driver, Measure
from transfergrid.runs.machine import Machine, applied, quiet
from transfergrid.runs.memory import give_back
from transfergrid.runs.models import save_model
from transfergrid.runs.other_tasks import other_tasks
from transfergrid.runs.predictions import predictions
from transfergrid.runs.pretraining import SourceMaker
from transfergrid.runs.selection.selecting import asks, selecting_of
from transfergrid.runs.source_copies import source_copies
from transfergrid.runs.stages import Outcome, Setup, Share, Tuned
from transfergrid.runs.standing import Standing, standing
from transfergrid.runs.starting import Start, attach, start
from transfergrid.runs.tuning.searches import Search
from transfergrid.runs.tuning.trying import Trials
from transfergrid.sources.backbone import Backbone
from transfergrid.strategies.base import Strategy

LARGEST_TRAIN_SCORE = 2000
"""Most training examples that are scored again after training."""


def run_cell(
    cell: Cell,
    ledger: Ledger,
    machine: Machine,
    tracker: Tracker | None = None,
    keep: str | None = None,
    share: Share | None = None,
) -> Record:
    """Run a cell, write its record and return it.

    If the device runs out of memory, the cell is run once more with each batch cut into twice as
    many parts.

    Args:
        cell: the cell.
        ledger: where the record is written.
        machine: where the cell runs.
        tracker: where curves and results are reported; None: nowhere.
        keep: why the weights are kept; None: they are not.
        share: what was already trained of this cell, side by side with its other seeds.

    Raises:
        BadInputError: something that was asked for is impossible.
        FloatingPointError: training diverged.
        torch.OutOfMemoryError: half a batch does not fit on the device either.
    """
    quiet()
    machine = machine.kept_in(ledger.root)
    torch.set_num_threads(machine.threads)
    reset_peak_memory(machine.device)
    started, clock = now(), Stopwatch()
    safe = SafeTracker(tracker or NoTracker(), clock.aside)
    with suppress(torch.OutOfMemoryError):
        return _run(cell, ledger, machine, safe, keep, share, clock, started)
    warn(f"{cell.label}: no memory for a whole batch: run once more with each batch in two parts")
    give_back()
    return _run(cell, ledger, machine, safe, keep, share, clock, started, halvings=1)


def _run(
    cell: Cell,
    ledger: Ledger,
    machine: Machine,
    tracker: SafeTracker,
    keep: str | None,
    share: Share | None,
    clock: Stopwatch,
    started: str,
    halvings: int = 0,
) -> Record:
    with clock.measure("load"), run_cards.told_if_failing(tracker, cell, ledger):
        setup = set_up(cell, maker_of(cell, ledger, machine, tracker, clock), halvings=halvings)
    left = checkpoint(cell, setup, ledger, machine, clock, started)
    if share is not None:
        left.add(share.spent)
    card = run_cards.run_card(cell, ledger, left.attempt)
    shared = setup.target.loaded.rounds is None  # episodes are trained one by one in `judge`
    with left.until_done(), tracked(tracker, card) as summary:
        with clock.measure("diagnose"):
            watch = watch_over(setup, cell.config["source"], machine, _some(setup.data.train))
            watch.begin()
        with clock.measure("train"), together.joined(cell, ledger, machine, shared) as on:
            fitted = learn(setup, on, run_cards.Curve(tracker), clock.measure, left, share)
        with clock.measure("evaluate"):
            outcome = judge(setup, machine, fitted)
        with clock.measure("diagnose"):
            diagnostics = watch.end(fitted, outcome)

        record = recording.record_of(cell, setup, fitted, outcome, left.spent(), machine)
        record = replace(record, diagnostics=diagnostics)
        test = setup.target.loaded.test
        said, labels = (part.numpy() for part in outcome.test)
        predictions = Predictions(said, labels, test.groups, test.clusters)
        ledger.write(record, predictions, fitted.curves, partial(save_model, setup, why=keep))
        summary.update(run_cards.summary_of(record, ledger))
    if tracker.place:
        sent.note(ledger.root, cell.id, tracker.place)
    return record


def maker_of(
    cell: Cell, ledger: Ledger, machine: Machine, tracker: Tracker, clock: Stopwatch
) -> SourceMaker:
    """Return the maker that trains a cell's source, or finds it already trained."""
    asked = {"study": cell.study, "grid": cell.grid}
    return SourceMaker(ledger.root / "sources", machine, tracker, clock, asked)


def set_up(
    cell: Cell, maker: SourceMaker, given: Strategy | None = None, halvings: int = 0
) -> Setup:
    """Load the target, draw the labels, get the source, and attach both to the strategy.

    A strategy that is `given` replaces the one that the cell describes. Each of the `halvings`
    doubles the number of parts (`training.accumulate`) in which a batch is computed.
    """
    config, source = cell.config, cell.config["source"]
    store = maker.machine.store
    target, strategy = OpenDomain(config["target"], store), given or build(config["strategy"])
    training: Training = build(config["training"]) if config["training"] else Training()
    training = replace(training, accumulate=training.accumulate * 2**halvings)
    needs = strategy.needs
    source = source and in_order(source, needs, strategy.hparams)
    both = (source, needs, target, store)
    target = target.seen_from(pair_of(*both), seen_classes(*both))
    drawn = target.draw(cell.labels, cell.seed, training.judges)
    search: Search | None = build(told) if (told := config.get("tuning")) else None
    held = None
    if search is not None and search.held_out is not None:
        drawn, held = target.hold_out(drawn, cell.labels, search.held_out, cell.seed)

    begun: Start | None = None
    preprocess: Preprocess
    if not needs.has_network:
        preprocess = plain_features(target, drawn)
    else:
        assert source is not None
        student = strategy.hparams.get("student")
        begun = start(source, needs, maker, cell.seed, student=student, classes=target.task.names)
    card = source_card(maker, begun.of_source if begun else None)  # before a method changes it
    if begun is not None:
        strategy.fit_inputs(begun.backbone, lambda: target.loaded.pool.read(drawn.train))
        preprocess = begun.backbone.preprocess

    data = target_data(target, drawn, needs, preprocess)
    data.holds_out = cell.seed if asks(training) and data.validation is None else None
    if begun is not None and begun.taught is not None:
        add_taught(data, target, drawn, needs, begun.taught.preprocess)
    if begun is not None and needs.classes == "named":
        add_named(data, target, begun.backbone)
    copies = source_copies(source, needs, target)
    if needs.domains:
        assert source is not None
        noise = _noise_of(source, cell.seed)
        add_source_domains(data, source["domain"], needs, preprocess, copies, store, noise)
    selecting = selecting_of(target, drawn, data, training, preprocess, cell.seed)
    tuned = Tuned(search, config["strategy"], deepcopy(begun)) if search else None
    if tuned is not None and held is not None:
        tuned.held = target.view("pool", preprocess, held)
    attach(strategy, begun, data, training, cell.seed)
    backbone = strategy.backbone if begun else None  # the strategy may have replaced `begun`'s
    parts = (target, drawn, data, strategy, backbone, preprocess)
    streamed = _streamed(source, needs)
    return Setup(*parts, card, copies.notes, tuned, selecting, *streamed, halvings)


def _streamed(source: Config | None, needs: Needs) -> tuple[tuple[Config, ...], tuple[str, ...]]:
    """Return the source domains that a strategy with these needs learns from, and their names.

    Domains are in their order. There are no names for one domain, or for several without names.
    """
    if source is None or not needs.domains:
        return (), ()
    if needs.domains == 1:
        return (source["domain"],), ()
    return tuple(parts_of(source["domain"])), tuple(source["domain"].get("names") or ())


def _noise_of(source: Config, block_seed: int) -> tuple[float, int] | None:
    """Return the share of source labels drawn at random and the seed; None without label noise."""
    share, seed = source.get("label_noise"), source.get("seed")
    return (share, block_seed if seed == "block" else int(seed or 0)) if share else None


def source_card(maker: SourceMaker, backbone: Backbone | None) -> dict[str, Any]:
    """Describe the source as it is before the cell trains it further; empty without a network."""
    if backbone is None:
        return {}
    return {**maker.told, "fingerprint": backbone.fingerprint(), "notes": backbone.notes}


def checkpoint(
    cell: Cell, setup: Setup, ledger: Ledger, machine: Machine, clock: Stopwatch, started: str
) -> Checkpoint:
    """Return the cell's checkpoint: what an earlier process left, and where this one writes."""
    parts = [*setup.strategy.modules(), setup.preprocess, setup.target.domain]
    return Checkpoint(ledger.root, cell.id, parts, machine, clock, started)


def learn(
    setup: Setup,
    machine: Machine,
    log: Log,
    measure: Measure | None = None,
    left: Checkpoint | None = None,
    share: Share | None = None,
) -> Fit:
    """Run the strategy's phases, including a teacher's; the test split is out of reach.

    In a tuned cell they are run once for each trial, and the strategy of the best trial is left in
    the setup.
    """
    metric = setup.target.domain.metric

    def drive(strategy: Strategy, log: Log) -> Driver:
        selecting = setup.selecting
        return Driver(strategy, setup.data, machine, metric, log, measure, left, selecting)

    if setup.tuned is not None and setup.can_choose:
        progress = left.progress if left is not None else None
        return Trials(setup, setup.tuned, metric, drive, log, progress).run()
    if setup.strategy.needs.trials:
        why = setup.drawn.no_validation or "nothing is tuned"
        raise ImpossibleError(f"it is made of the trials of a tuned cell, and here {why}")
    untuned = Tuning(reason="nothing validates") if setup.tuned else None
    driver = drive(setup.strategy, log)
    if share is not None and share.state is not None:
        driver.restore(share.state)
    stacked, devices = share.cells if share else 1, machine.peers.world
    if setup.target.loaded.rounds is not None:
        fitted, begun = episodes.learned(driver)
        return replace(fitted, tuning=untuned, begun=begun, devices=devices)
    return replace(driver.run(), tuning=untuned, stacked=stacked, devices=devices)


def judge(setup: Setup, machine: Machine, fitted: Fit | None = None) -> Outcome:
    """Score the trained strategy on its own labels and, after every choice, once on `test`.

    Args:
        setup: the cell's parts, with the trained strategy.
        machine: where to run.
        fitted: the result of training; needed where the target is made of episodes.
    """
    strategy, data = setup.strategy, setup.data

    heard: dict[str, Tensor] = {}

    def say(view: View | None, part: str | None = None) -> tuple[Tensor, Tensor] | None:
        if view is None:
            return None
        hear = partial(heard.__setitem__, part) if part and not strategy.representation else None
        return predictions(strategy, view, machine, found, hear), torch.from_numpy(view.labels)

    sealed = setup.target.whole("test", setup.preprocess)
    found = standing(
        strategy, strategy.all_phases(), machine, (data.train, data.validation, sealed)
    )
    train, validation = say(_some(data.train), "train"), say(data.validation, "validation")
    if fitted is not None and fitted.begun is not None:
        said = episodes.answers(setup, machine, dict(fitted.begun))
        test: tuple[Tensor, Tensor] | None = (said, torch.from_numpy(sealed.labels))
    else:
        test = say(sealed)
    assert test is not None
    with strategy.in_use():
        flops, seconds = _flops(strategy, sealed, found), _seconds(strategy, sealed, machine)
    others = other_tasks(setup, machine) if fitted is None or fitted.begun is None else ()
    return Outcome(train, validation, test, flops, seconds, heard, others)


def _flops(strategy: Strategy, view: View, found: Standing | None) -> int:
    """Return the floating-point operations of one example's forward pass."""
    if found is None:
        return forward_flops(strategy, view.alone(0))
    strategy.cut = found.blocks
    behind = forward_flops(strategy, found.view(view).alone(0))
    strategy.cut = 0
    return found.flops(view.alone(0)) + behind


def _seconds(strategy: Strategy, view: View, machine: Machine) -> float:
    """Return the seconds that predicting one example takes on this machine, without the cache."""
    with applied(strategy, machine) as brought:
        inputs = as_precise(brought(view.alone(0)), strategy)
        return forward_seconds(strategy.predict, inputs)


def _some(view: View | None) -> View | None:
    """Return evenly spaced examples of a large view: it may be sorted by class."""
    if view is None or len(view) <= LARGEST_TRAIN_SCORE:
        return view
    few = np.linspace(0, len(view) - 1, LARGEST_TRAIN_SCORE).astype(np.int64)
    return view.part(few)
