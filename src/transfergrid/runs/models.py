"""A trained strategy as files: without what only training needs, and loadable without its source.

    model.safetensors   the strategy's `kept_state`
    features.json       the plain features' fitted values, for a strategy that takes no backbone
    vector.json         the columns of vectors and how they are scaled, if inputs are vectors
    kept.json           why it is kept

A *description* is the plain dict from which the modules are built anew; see `description_of`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from transfergrid.data.examples import Examples
from transfergrid.data.inputs import Preprocess
from transfergrid.data.plain_features import PlainFeatures
from transfergrid.data.regression import task_of
from transfergrid.data.task import Task
from transfergrid.data.text import TextExamples
from transfergrid.data.views import Prepared, View
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config, build, locate, target_of
from transfergrid.records.files import contents
from transfergrid.records.identity import learner_of
from transfergrid.records.keeping import FEATURES, KEPT, MODEL, VECTOR, WEIGHTS
from transfergrid.records.metrics import CLUSTERS, kind_of
from transfergrid.records.needs import Needs
from transfergrid.records.printing import say
from transfergrid.records.record import Record
from transfergrid.records.training import Training
from transfergrid.runs.stages import Setup
from transfergrid.sources.backbone import Backbone
from transfergrid.sources.files import heads, weights
from transfergrid.sources.source import Architecture
from transfergrid.strategies.base import Strategy


@dataclass
class Model:
    """A trained strategy that can predict, in eval mode, and its preprocessing."""

    strategy: Strategy
    preprocess: Preprocess

    @property
    def task(self) -> Task:
        """The task that it predicts."""
        return self.strategy.task


def kept_bytes(strategy: Strategy) -> int:
    """Return about how large the file of an attached strategy's weights will be."""
    return sum(value.numel() * value.element_size() for value in strategy.kept_state().values())


def save_model(setup: Setup, folder: Path, why: str | None) -> None:
    """Write a trained strategy into `model/` in a cell's folder.

    Args:
        setup: the cell's parts, with the trained strategy.
        folder: the cell's folder.
        why: `all`, `best` or `reproduced`; None writes nothing.
    """
    if why is None:
        return
    featuriser = getattr(setup.preprocess, "featuriser", None)
    if featuriser is not None and not hasattr(featuriser, "kept"):
        name = type(featuriser).__qualname__
        say(f"transfergrid: warning: not kept: {name} has no kept() and restore()", flush=True)
        return
    folder = folder / MODEL
    folder.mkdir()
    if featuriser is not None:
        kept = {"_target_": target_of(type(featuriser)), "kept": featuriser.kept()}
        (folder / FEATURES).write_text(json.dumps(kept), encoding="utf-8")
    scaling = getattr(setup.target.loaded.pool, "scaling", None)
    if scaling is not None:
        (folder / VECTOR).write_text(json.dumps(scaling.kept()), encoding="utf-8")
    state = setup.strategy.kept_state()
    save_file(
        {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}, folder / WEIGHTS
    )
    (folder / KEPT).write_text(json.dumps({"by": why}), encoding="utf-8")


def description_of(record: Record) -> Config:
    """Return the description that a cell's model is built from: all but the weights."""
    config, metric = record.config, record.metric.name
    return {
        **({"metric": metric} if kind_of(metric) == CLUSTERS else {}),
        "architecture": _network(config),
        "strategy": {**config["strategy"], **chosen_values(record)},
        "training": config["training"],
        "classes": list(record.data.classes),
        "outputs": list(record.data.outputs),
        "seed": record.seed,
    }


def chosen_values(record: Record) -> dict[str, float]:
    """Return the setting that a search inside the cell chose; empty without a search."""
    tuning = record.tuning
    if tuning is None or tuning.chosen is None:
        return {}
    values, typed = tuning.trials[tuning.chosen].values, record.config["strategy"]
    return {n: int(v) if type(typed.get(n)) is int else v for n, v in values.items()}


def _network(config: Mapping[str, Any]) -> Config | None:
    """Return the architecture that predicts: the student's if there is one, else the source's."""
    needs = Needs.read(config["strategy"]["about"]["needs"])
    if config["source"] is None or not needs.has_network:
        return None
    return learner_of(config["source"], config["strategy"])


def load_model(folder: Path, description: Mapping[str, Any]) -> Model:
    """Return the trained strategy that `save_model` wrote.

    Raises:
        BadInputError: the folder holds no such model, or a part of it cannot be built here.
    """
    weights.check_file(str(folder / WEIGHTS))
    try:
        return _loaded(folder, description)
    except (BadInputError, OSError):
        raise
    except Exception as error:  # torch raises several kinds if sizes or names do not fit
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise BadInputError(f"{folder} cannot be made into a model: {told}") from error


def _source_head(state: Mapping[str, Tensor], backbone: Backbone | None) -> nn.Module | None:
    """Return the source's own head, if the strategy was given one and kept it; else None."""
    own = "source_head."
    held = {name.removeprefix(own): part for name, part in state.items() if name.startswith(own)}
    return heads.linear(held, backbone.dim) if held and backbone is not None else None


def _loaded(folder: Path, description: Mapping[str, Any]) -> Model:
    strategy: Strategy = build(description["strategy"])
    training: Training = build(description["training"]) or Training()
    state = load_file(folder / WEIGHTS)
    with torch.random.fork_rng(devices=[]):
        architecture: Architecture | None = build(description["architecture"])
        backbone = architecture.build() if architecture is not None else None
        names = (tuple(description["classes"]), tuple(description.get("outputs", ())))
        task = task_of(*names, description.get("metric"))
        head = _source_head(state, backbone)
        strategy.attach(backbone, task, training, description["seed"], source_head=head)
    try:
        strategy.restore(state)
    except ValueError as error:
        raise BadInputError(f"{folder / WEIGHTS} does not fit its cell: {error}") from error
    preprocess = backbone.preprocess if backbone is not None else _features(folder / FEATURES)
    return Model(strategy, preprocess)


def _features(file: Path) -> PlainFeatures:
    try:
        told = contents.parsed(contents.read_bytes(file))
        featuriser = locate(told["_target_"])
        if not (isinstance(featuriser, type) and hasattr(featuriser, "restore")):
            raise ValueError(f"{told['_target_']} makes no features")
        return PlainFeatures(featuriser().restore(told["kept"]))
    except (OSError, ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInputError(f"{file} cannot be used: {error}") from error


class ReadOnce(Prepared):
    """New images that are read once, so none is kept in memory."""

    def warm(self) -> None:
        """Prepare nothing ahead."""


def new_view(examples: Examples, preprocess: Preprocess) -> View:
    """Return a view of new examples; their labels mean nothing."""
    held = Prepared if isinstance(examples, TextExamples) else ReadOnce
    rows = np.arange(len(examples), dtype=np.int64)
    return View(held(examples, preprocess), rows, examples.labels)
