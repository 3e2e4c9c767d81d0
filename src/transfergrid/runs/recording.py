"""Makes the record of a cell that has run."""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import Tensor

from transfergrid.records.cell import Cell
from transfergrid.records.metrics import METRICS
from transfergrid.records.provenance import identified, processor
from transfergrid.records.record import (
    Budget,
    Chosen,
    Cost,
    Data,
    Flags,
    Machine,
    Metric,
    Record,
    Scores,
    Seconds,
    Status,
)
from transfergrid.runs.cost import Spent, count_parameters
from transfergrid.runs.curve import Fit
from transfergrid.runs.machine import Machine as RunsOn
from transfergrid.runs.planning import contamination
from transfergrid.runs.planning.tuned import trials_before
from transfergrid.runs.stages import Outcome, Setup


def record_of(
    cell: Cell,
    setup: Setup,
    fitted: Fit,
    outcome: Outcome,
    spent: Spent,
    machine: RunsOn,
) -> Record:
    """Return the record of a cell that is done."""
    decides, task = setup.target.domain.metric, setup.strategy.task
    trained = count_parameters(p for p in setup.strategy.parameters() if p.requires_grad)
    return identified(
        cell,
        Status.DONE,
        metric=Metric(name=decides, higher_is_better=METRICS[decides].higher_is_better),
        scores=Scores(
            train=outcome.train and task.scores(*outcome.train),
            validation=outcome.validation and task.scores(*outcome.validation),
            test=task.scores(*outcome.test),
            by_class=task.by_class(*outcome.test) or None,
        ),
        others=outcome.others,
        flags=Flags(
            collapsed=task.collapsed(*outcome.test),
            underfit=outcome.train is not None and task.underfit(*outcome.train),
            contaminated_by=contamination.contaminated_by(
                cell.config["source"], setup.strategy.needs, cell.config["target"]
            ),
        ),
        chosen=Chosen(step=fitted.chosen_step, by=fitted.chosen_by, paths=fitted.paths),
        budget=_budget(cell, fitted),
        tuning=fitted.tuning,
        data=_data(setup, outcome.test[1]),
        cost=Cost(
            seconds=Seconds(**spent.seconds, total=spent.total),
            peak_memory_bytes=spent.peak_memory_bytes,
            continued=spent.continued,
            stacked=fitted.stacked,
            halvings=setup.halvings,
            parameters=count_parameters(setup.strategy.parameters_in_use()),
            parameters_trained=trained if fitted.steps else 0,
            flops_forward=outcome.flops,
            seconds_forward=outcome.seconds,
        ),
        source=_source(cell, setup),
        selection=fitted.selection,
        told=setup.strategy.tells(),
        started=spent.started,
        machine=_machine(machine, setup, fitted.devices),
    )


def _source(cell: Cell, setup: Setup) -> dict[str, Any] | None:
    if not cell.names.source:
        return None
    card = contamination.card(cell.config["source"], setup.strategy.needs)
    return {**setup.source_card, "card": card}


def _budget(cell: Cell, fitted: Fit) -> Budget:
    return Budget(
        steps=fitted.steps,
        optimiser_steps=fitted.taken["optimiser"],
        target_batches=fitted.taken["target"],
        unlabelled_batches=fitted.taken["unlabelled"],
        source_batches=fitted.taken["source"],
        teacher_steps=fitted.taken["teacher"],
        validation_checks=fitted.validation_checks,
        tuning_trials=_tried(cell, fitted),
    )


def _tried(cell: Cell, fitted: Fit) -> int:
    """Return how many settings were tried: in this cell, else for its defaults before the grid."""
    if fitted.tuning is not None and fitted.tuning.trials:
        return len(fitted.tuning.trials)
    return trials_before(cell.config)


def _data(setup: Setup, test: Tensor) -> Data:
    data, (own, outputs) = setup.data, (setup.target.loaded.classes, setup.target.loaded.outputs)

    def named(by_index: dict[str, Any]) -> dict[str, Any]:
        return {own[int(k)] if k.isdigit() else k: value for k, value in by_index.items()}

    return Data(
        train=len(data.train) if data.train is not None else 0,
        validation=len(setup.drawn.validation) if data.validation is not None else 0,
        judged=len(data.validation) if data.validation is not None else 0,
        unlabelled=len(data.unlabelled) if data.unlabelled is not None else 0,
        test=len(test),
        classes=setup.target.classes,
        pair=setup.target.pair,
        seen=setup.target.seen,
        outputs=outputs,
        floor=setup.strategy.task.floor(test) if outputs else None,
        per_class=named(setup.drawn.per_class),
        short=named(setup.drawn.short),
        notes={
            **setup.target.loaded.notes,
            **_cut(setup),
            **_source_copies(setup),
            **_no_validation(setup),
            **_untested(setup),
        },
    )


def _source_copies(setup: Setup) -> dict[str, Any]:
    return {"source_copies": setup.source_copies} if setup.source_copies else {}


def _no_validation(setup: Setup) -> dict[str, Any]:
    """Return why there is no validation part, if the cell learns from target labels."""
    reason = setup.drawn.no_validation
    return {"no_validation": reason} if reason and setup.data.train is not None else {}


def _untested(setup: Setup) -> dict[str, Any]:
    """Return the classes without a test example, if there are any."""
    there = set(setup.target.loaded.test.labels.ravel().tolist())
    absent = [name for i, name in enumerate(setup.target.loaded.classes) if i not in there]
    return {"untested": absent} if absent else {}


def _cut(setup: Setup) -> dict[str, Any]:
    """Return how many texts of each split were truncated for the model, if there are any."""
    counts = {
        split: setup.target.whole(split, setup.preprocess).prepared.n_cut()
        for split in ("pool", "test")
    }
    return {"cut_texts": counts} if any(counts.values()) else {}


def _machine(machine: RunsOn, setup: Setup, devices: int) -> Machine:
    return Machine(
        device=_device_name(machine.device),
        threads=machine.threads,
        precision=setup.strategy.training_plan.precision,
        platform=platform.platform(),
        devices=devices,
    )


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return processor() if device.type == "cpu" else str(device)
