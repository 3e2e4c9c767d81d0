"""Check that a model saved from a trained strategy predicts the same when it is loaded."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from transfergrid.records.factory import config_of
from transfergrid.records.identity import learner_of
from transfergrid.records.keeping import MODEL
from transfergrid.runs.machine import quiet
from transfergrid.runs.models import Model, load_model, save_model
from transfergrid.runs.predictions import predictions
from transfergrid.runs.stages import Setup
from transfergrid.testing.bench import SEED, Bench
from transfergrid.testing.found import Broken, expect

MEND = (
    "Create modules, parameters and buffers in build(), put into scaffold what predict does not "
    "use and nothing else, or override kept_state() and restore()"
)


def kept_and_used(bench: Bench) -> None:
    """Saved, and rebuilt from its config without data or source, it predicts the same."""
    for labels in bench.budgets():
        run = bench.trained(labels)
        run.setup.strategy.load_state_dict(run.state)
        with tempfile.TemporaryDirectory() as folder:
            save_model(run.setup, Path(folder), "all")
            bench.disturb()
            try:
                model = load_model(Path(folder) / MODEL, _description(bench, run.setup))
                found = _say(model, run.setup, bench)
            except Exception as error:
                raise Broken(f"what is kept of it makes no model: {error}. {MEND}.") from error
        same = torch.allclose(found, run.predictions, atol=1e-6)
        expect(same, "the model made from what is kept of it predicts something else", MEND)


def _description(bench: Bench, setup: Setup) -> dict[str, Any]:
    source, strategy = config_of(bench.source), config_of(bench.strategy())
    return {
        "architecture": learner_of(source, strategy) if setup.backbone is not None else None,
        "strategy": strategy,
        "training": config_of(bench.training),
        "classes": list(setup.target.classes),
        "outputs": list(setup.target.loaded.outputs),
        "metric": setup.target.domain.metric,
        "seed": SEED,
    }


def _say(model: Model, setup: Setup, bench: Bench) -> torch.Tensor:
    quiet()
    view = setup.target.whole("test", model.preprocess)
    return predictions(model.strategy, view, bench.machine)
