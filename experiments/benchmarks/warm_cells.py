"""Cells for the benchmarks of a warm process."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from transfergrid.data.digits import Digits
from transfergrid.data.glyphs import Glyphs
from transfergrid.records import shipped
from transfergrid.records.cell import Cell
from transfergrid.records.factory import config_of, locate
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Record
from transfergrid.records.training import Training
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked, Option
from transfergrid.sources.timm import TimmArchitecture
from transfergrid.sources.trained_here import TrainedHere
from transfergrid.strategies.adaptation.domain_adversarial import DomainAdversarial
from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.fine_tuning.layerwise_lr import LayerwiseLR

atexit.register(gc.unfreeze)  # libraries complain of what is frozen when the process ends
MACHINE = Machine(accelerator="cpu", threads=1)
SMALL = Training(steps=5)
STRATEGIES = {
    "full_finetuning": FullFinetuning(),
    "feature_extraction": FeatureExtraction(),
    "layerwise_lr": LayerwiseLR(),
    "distillation": Distillation(FullFinetuning()),
    "domain_adversarial": DomainAdversarial(),
}


def _shipped(name: str) -> Option:
    return Option(name, config_of(locate(shipped.strategies()[name])()))


def cells(number: int, steps: int = 5) -> Iterator[Cell]:
    """Yield cells of five strategies in turn on scikit-learn's digits, a new seed each round."""
    printed = Glyphs(size=16, per_class=20, test_per_class=5)
    architecture = TimmArchitecture("test_resnet", 16, {"in_chans": 1})
    source = TrainedHere(architecture, printed, SMALL)
    options = [Option(name, config_of(strategy)) for name, strategy in STRATEGIES.items()]
    asked = Asked(
        [Option("printed", config_of(source))],
        options,
        [Option("digits", config_of(Digits()))],
        [Option("small", config_of(Training(steps=steps)))],
        [20],
        range(-(-number // len(options))),
    )
    plan = Planner(_shipped).plan(asked)
    by_strategy = {
        name: iter([c for c in plan.cells if c.names.strategy == name and c.id in plan.wanted])
        for name in STRATEGIES
    }
    for name in islice(cycle(STRATEGIES), number):
        yield next(by_strategy[name])


def run(cell: Cell, results: Path) -> Record:
    """Run a cell without a tracker."""
    return run_cell(cell, Ledger(results), MACHINE)
