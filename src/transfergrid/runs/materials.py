"""What a cell is made from: its domain's splits as views, its source's weights as a backbone."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from transfergrid.data.batches import CellData
from transfergrid.data.budgets import Draw, draw
from transfergrid.data.domain import Domain, Examples, LoadedDomain, Reading
from transfergrid.data.inputs import Inputs, Preprocess, Raw
from transfergrid.data.sparse_inputs import padded
from transfergrid.data.task import Classification, Task
from transfergrid.data.views import Prepared, View
from transfergrid.records.cell import Labels
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config, build
from transfergrid.records.identity import architecture_of
from transfergrid.records.needs import Needs
from transfergrid.records.seeds import stream_seed
from transfergrid.sources.backbone import Backbone
from transfergrid.sources.source import Maker, Source
from transfergrid.strategies.base import Sizes


@lru_cache(maxsize=6)
def _opened(config: str) -> tuple[Domain, LoadedDomain]:
    domain: Domain = build(json.loads(config))
    loaded = domain.load()
    domain.check_tested(loaded)
    return domain, loaded


@lru_cache(maxsize=6)
def _prepared(config: str, split: str, preprocess: Preprocess) -> Prepared:
    loaded = _opened(config)[1]
    return Prepared(loaded.pool if split == "pool" else loaded.test, preprocess)


class OpenDomain:
    """A domain with its splits loaded; a worker keeps the last few for its next cells."""

    def __init__(self, config: Config) -> None:
        self.key = json.dumps(config, sort_keys=True)
        self.domain, self.loaded = _opened(self.key)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self.loaded.classes

    @property
    def task(self) -> Task:
        """What is predicted."""
        return Classification(self.classes)

    def draw(self, labels: Labels, seed: int) -> Draw:
        """Draw the labels that a seed block may see."""
        pool, sampling = self.loaded.pool, self.domain.sampling
        return draw(pool.labels, len(self.classes), labels, seed, sampling, pool.kept_whole)

    def view(
        self,
        split: str,
        preprocess: Preprocess,
        indices: NDArray[np.int64],
        labels: NDArray[np.int64] | None = None,
    ) -> View:
        """Return examples of `pool` or `test` with their labels; pass others to replace them."""
        if isinstance(preprocess, PlainFeatures):  # fitted to one cell's labels: not shared
            prepared = Prepared(self.examples(split), preprocess)
        else:
            prepared = _prepared(self.key, split, preprocess)  # type: ignore[arg-type]
        own = self.examples(split).labels[indices]
        return View(prepared, indices, own if labels is None else labels)

    def examples(self, split: str) -> Examples:
        """Return the examples of `pool` or `test`."""
        return self.loaded.pool if split == "pool" else self.loaded.test

    def whole(self, split: str, preprocess: Preprocess) -> View:
        """Return all examples of a split."""
        return self.view(split, preprocess, np.arange(len(self.examples(split)), dtype=np.int64))


class PlainFeatures:
    """Preprocessing of the arms without a backbone: the domain's plain features, (n, d)."""

    def __init__(self, featuriser: Any) -> None:
        self.featuriser = featuriser
        self.width = 0
        """Of what it made last."""

    def prepare(self, raw: Raw) -> Inputs:
        """Return dense features as a float32 tensor (n, d); of sparse ones, see `padded`."""
        features = self.featuriser.transform(raw)
        self.width = features.shape[1]
        if hasattr(features, "tocsr"):
            return padded(features)
        return torch.from_numpy(np.asarray(features, dtype=np.float32))

    def finish(self, prepared: Inputs, augmentation: str, rng: torch.Generator | None) -> Inputs:
        """Return them as they are."""
        return prepared


def start_backbone(
    source: Config, needs: Needs, student: Any, maker: Maker, seed: int
) -> tuple[Backbone, Backbone | None]:
    """Return the backbone that the strategy trains and, for a teacher's sake, the source's own.

    Random weights depend on the seed alone, so all arms of a seed block share them.
    """
    torch.manual_seed(stream_seed(seed, "backbone"))
    if needs.source == "architecture":
        return build(architecture_of(source)).build(), None
    made: Source = build(source)
    if needs.source == "start":
        return made.initial(), None
    if not needs.teacher:
        return made.load(maker, seed), None
    taught = made.load(maker, seed)
    torch.manual_seed(stream_seed(seed, "backbone"))
    learner = (student or build(architecture_of(source))).build()
    check_same_inputs(taught, learner)
    return learner, taught


def check_same_inputs(teacher: Backbone, student: Backbone) -> None:
    """Raise unless both are made for the same inputs: they are given one batch.

    Raises:
        BadInputError: they are not; the message shows both.
    """
    if teacher.preprocess != student.preprocess:
        raise BadInputError(
            "teacher and student must take the same inputs, and the teacher takes "
            f"{teacher.preprocess}, the student {student.preprocess}: set the student's size, "
            "mean, std and options.in_chans"
        )


def target_data(target: OpenDomain, drawn: Draw, needs: Needs, preprocess: Preprocess) -> CellData:
    """Return what of the target a strategy with these needs may see."""

    def part(indices: NDArray[np.int64]) -> View | None:
        return target.view("pool", preprocess, indices) if len(indices) else None

    data = CellData(target.task, part(drawn.train), part(drawn.validation))
    if needs.target_labels == "unused":
        data.train = data.validation = None
    if needs.unlabelled:
        hidden = np.empty(0, dtype=np.int64)
        indices = drawn.unlabelled
        data.unlabelled = View(target.view("pool", preprocess, indices).prepared, indices, hidden)
    return data


def add_source_domain(
    data: CellData,
    domain: Config,
    needs: Needs,
    preprocess: Preprocess,
    kept: NDArray[np.int64] | None = None,
) -> None:
    """Add the labelled source domain, or the examples of it at the places that are `kept`.

    Where the strategy needs the same classes, its labels are brought to the target's order.
    """
    source = OpenDomain(domain)
    if kept is None:
        view = source.whole("pool", preprocess)
    else:
        view = source.view("pool", preprocess, kept)
    task, same = source.task, needs.classes == "same"
    if same and task.names != data.task.names:
        order = np.array([data.task.names.index(name) for name in task.names])
        view.labels = order[view.labels]
    data.source += (view,)
    data.source_tasks += (data.task if same else task,)


def sizes_of(data: CellData, backbone: Backbone | None) -> Sizes:
    """Return how large the streams of a cell are."""

    def size(view: View | None) -> int:
        return len(view) if view is not None else 0

    inputs = 0
    if backbone is None and data.train is not None:
        data.train.inputs(data.train.rows[:1])
        features = data.train.prepared.preprocess
        inputs = features.width if isinstance(features, PlainFeatures) else 0
    source = tuple(len(view) for view in data.source)
    return Sizes(size(data.train), size(data.unlabelled), source, inputs)


def plain_features(target: OpenDomain, drawn: Draw) -> PlainFeatures:
    """Return the preprocessing for a classical learner, fitted on the training examples alone."""
    pool, rows = target.loaded.pool, drawn.train
    raw = Reading(pool, rows) if target.domain.modality == "image" else pool.read(rows)
    return PlainFeatures(target.domain.featuriser().fit(raw))
