"""A domain with its splits loaded, as cells take their views from it."""

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
    """Return what says which data these are: contents, description, and the code that reads it."""
    told = json.loads(config)
    targets = [str(part.get("_target_")) for part in parts_of(told)]
    return {
        "domain": "+".join(target.rpartition(".")[2] for target in targets),
        "content": config_digest(told),
        "code": "".join(map(code_fingerprint, targets)),
    }


class OpenDomain:
    """A domain with its splits loaded; a worker keeps the last few for its next cells.

    Args:
        config: of the domain.
        store: where its images are kept as they are prepared; None: in memory alone.

    Attributes:
        pair: how its classes stand to those of a source domain that it is seen from; None: alone.
            Labels are drawn from its own classes all the same, as for all other arms.
        seen: its classes of which the source has examples; None where that is nothing to know.
    """

    pair: Pair | None = None
    seen: tuple[str, ...] | None = None

    def __init__(self, config: Config, store: Store | None = None) -> None:
        self.store = store
        self.key = json.dumps(config, sort_keys=True)
        self.domain, self.loaded = _opened(self.key)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that are predicted, in label order; none of numbers."""
        task = self.task
        return task.classes if isinstance(task, Classification) else ()

    @property
    def task(self) -> Task:
        """What is predicted."""
        own = task_of(self.loaded.classes, self.loaded.outputs, self.domain.metric)
        return zero_shot(task_of_pair(own, self.pair), self.seen)

    def seen_from(self, pair: Pair | None, seen: Sequence[str] | None = None) -> Self:
        """Return the same domain as it is seen from a source domain; see `seen`."""
        made = copy.copy(self)
        made.pair, made.seen = pair, None if seen is None else tuple(seen)
        return made

    def counted(self, labels: Targets) -> Targets:
        """Return labels (n, ...) of its own classes as the task counts them."""
        found: Targets = labels_of_pair(labels, self.loaded.classes, self.pair)
        return found

    def draw(self, labels: Labels, seed: int, judges: int | None = None) -> Draw:
        """Draw the labels that a seed block may see; at most so many of them are chosen by."""
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
        """Return a draw without what so many further labels a class are of, and these.

        They are the next of the seed block's order, of no group that the draw has labels of.

        Raises:
            BadInputError: nothing is left for it.
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
        """Return examples of `pool` or `test` with their labels; pass others to replace them."""
        if isinstance(preprocess, PlainFeatures):  # fitted to one cell's labels: not shared
            prepared = Prepared(self.examples(split), preprocess)
        else:
            prepared = _prepared(self.key, split, preprocess, self.store)  # type: ignore[arg-type]
        if labels is None:
            labels = self.counted(self.examples(split).labels[indices])
        return View(prepared, indices, labels)

    def examples(self, split: str) -> Examples:
        """Return the examples of `pool` or `test`."""
        return self.loaded.pool if split == "pool" else self.loaded.test

    def whole(self, split: str, preprocess: Preprocess) -> View:
        """Return all examples of a split."""
        return self.view(split, preprocess, np.arange(len(self.examples(split)), dtype=np.int64))


def plain_features(target: OpenDomain, drawn: Draw) -> PlainFeatures:
    """Return the preprocessing for a classical learner, fitted on the training examples alone.

    Where the target is made of episodes, it is fitted on what all of them give to learn from, and
    where there is no label on the pool's inputs.
    """
    pool, rows = target.loaded.pool, drawn.train
    if target.loaded.rounds is not None or not len(rows):
        rows = np.arange(len(pool), dtype=np.int64)
    raw = Reading(pool, rows) if target.domain.modality == "image" else pool.read(rows)
    return PlainFeatures(target.domain.featuriser().fit(raw))
