"""A domain with its splits loaded, from which cells take their views."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.budgets import Draw, draw, draw_episode, some_of
from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.examples import Examples, Reading
from transfergrid.data.examples import Labels as Targets
from transfergrid.data.inputs import Preprocess
from transfergrid.data.paired import labels_of_pair, task_of_pair
from transfergrid.data.plain_features import PlainFeatures
from transfergrid.data.regression import task_of
from transfergrid.data.task import Classification, Task
from transfergrid.data.views import Prepared, View
from transfergrid.data.zero_shot import zero_shot
from transfergrid.records.cell import Labels
from transfergrid.records.code import code_fingerprint
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config, build
from transfergrid.records.identity import config_digest
from transfergrid.records.ledgers.cached import Store
from transfergrid.records.pairs import Pair
from transfergrid.records.several import parts_of


@lru_cache(maxsize=6)
def _opened(config: str) -> tuple[Domain, LoadedDomain]:
    domain: Domain = build(json.loads(config))
    loaded = domain.load()
    domain.check_tested(loaded)
    return domain, loaded


@lru_cache(maxsize=6)
def _prepared(config: str, split: str, preprocess: Preprocess, store: Store | None) -> Prepared:
    loaded = _opened(config)[1]
    examples = loaded.pool if split == "pool" else loaded.test
    return Prepared(examples, preprocess, {**_place(config), "split": split}, store)


@lru_cache(maxsize=6)
def _place(config: str) -> dict[str, Any]:
    """Return the cache key of a domain's data: its name, content, and the code that reads it."""
    told = json.loads(config)
    targets = [str(part.get("_target_")) for part in parts_of(told)]
    return {
        "domain": "+".join(target.rpartition(".")[2] for target in targets),
        "content": config_digest(told),
        "code": "".join(map(code_fingerprint, targets)),
    }


class OpenDomain:
    """A domain with its splits loaded; a worker caches the last few for its next cells.

    Args:
        config: of the domain.
        store: the disk cache for prepared images; None: only memory is used.

    Attributes:
        pair: the relation of its classes to those of a source domain; None without one. Labels are
            drawn from the domain's own classes in any case, as for all other arms.
        seen: the classes of which the source has examples; None where that does not matter.
    """

    pair: Pair | None = None
    seen: tuple[str, ...] | None = None

    def __init__(self, config: Config, store: Store | None = None) -> None:
        self.store = store
        self.key = json.dumps(config, sort_keys=True)
        self.domain, self.loaded = _opened(self.key)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the predicted classes, in label order; empty if numbers are predicted."""
        task = self.task
        return task.classes if isinstance(task, Classification) else ()

    @property
    def task(self) -> Task:
        """The task, as seen from the source domain if there is one."""
        own = task_of(self.loaded.classes, self.loaded.outputs, self.domain.metric)
        return zero_shot(task_of_pair(own, self.pair), self.seen)

    def seen_from(self, pair: Pair | None, seen: Sequence[str] | None = None) -> Self:
        """Return a copy of the domain as seen from a source domain: with this `pair` and `seen`."""
        made = copy.copy(self)
        made.pair, made.seen = pair, None if seen is None else tuple(seen)
        return made

    def counted(self, labels: Targets) -> Targets:
        """Return labels (n, ...) of the domain's own classes as labels of the task."""
        found: Targets = labels_of_pair(labels, self.loaded.classes, self.pair)
        return found

    def draw(self, labels: Labels, seed: int, judges: int | None = None) -> Draw:
        """Draw the labels that a seed block may see.

        At most `judges` validation labels are used for model selection; None: all.
        """
        pool, sampling = self.loaded.pool, self.domain.sampling
        if self.loaded.rounds is not None:
            return draw_episode(self.loaded.rounds, labels)
        drawn = draw(pool.labels, len(self.loaded.classes), labels, seed, sampling, pool.kept_whole)
        if judges is None:
            return drawn
        return replace(drawn, judges=some_of(pool.labels, drawn.validation, judges, seed))

    def hold_out(
        self, drawn: Draw, labels: Labels, more: int, seed: int
    ) -> tuple[Draw, NDArray[np.int64]]:
        """Hold out `more` further labels per class; return the draw without them, and them.

        They are the next labels in the seed block's order, without examples of clusters or groups
        of which the draw already has labels. The returned draw lacks them in `unlabelled`.

        Raises:
            BadInputError: nothing is left to hold out, or the domain is made of episodes.
        """
        if self.loaded.rounds is not None:
            raise BadInputError(f"tuning.held_out={more}: an episode holds no labels back")
        pool, taken = self.loaded.pool, np.union1d(drawn.train, drawn.validation)
        further = self.draw(labels if labels == "all" else labels + more, seed)
        held = np.setdiff1d(np.union1d(further.train, further.validation), taken)
        if pool.kept_whole is not None:
            held = held[~np.isin(pool.kept_whole[held], pool.kept_whole[taken])]
        if not len(held):
            raise BadInputError(
                f"tuning.held_out={more}: labels={labels} leaves nothing of the pool to judge by"
            )
        return replace(drawn, unlabelled=np.setdiff1d(drawn.unlabelled, held)), held

    def view(
        self,
        split: str,
        preprocess: Preprocess,
        indices: NDArray[np.int64],
        labels: Targets | None = None,
    ) -> View:
        """Return a view of examples of "pool" or "test", with their labels or the given ones."""
        if isinstance(preprocess, PlainFeatures):  # fitted to one cell's examples, so not shared
            prepared = Prepared(self.examples(split), preprocess)
        else:
            prepared = _prepared(self.key, split, preprocess, self.store)  # type: ignore[arg-type]
        if labels is None:
            labels = self.counted(self.examples(split).labels[indices])
        return View(prepared, indices, labels)

    def examples(self, split: str) -> Examples:
        """Return the examples of "pool" or "test"."""
        return self.loaded.pool if split == "pool" else self.loaded.test

    def whole(self, split: str, preprocess: Preprocess) -> View:
        """Return a view of all examples of a split."""
        return self.view(split, preprocess, np.arange(len(self.examples(split)), dtype=np.int64))


def plain_features(target: OpenDomain, drawn: Draw) -> PlainFeatures:
    """Return the preprocessing of the arms without a backbone, fitted on the training examples.

    If the target is made of episodes, it is fitted on the support of all episodes; without any
    label, on the inputs of the whole pool.
    """
    pool, rows = target.loaded.pool, drawn.train
    if target.loaded.rounds is not None or not len(rows):
        rows = np.arange(len(pool), dtype=np.int64)
    raw = Reading(pool, rows) if target.domain.modality == "image" else pool.read(rows)
    return PlainFeatures(target.domain.featuriser().fit(raw))
