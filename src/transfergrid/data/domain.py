"""What a domain is: a labelled dataset with a pool to choose from and a test split.

A target's label subset and validation part are drawn from `pool` (see `budgets`); `test` is the
same for all seeds. A new kind of data is one subclass of `Domain`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from transfergrid.data.class_texts import Descriptions, class_texts
from transfergrid.data.copies.found import search_version
from transfergrid.data.examples import Examples, Subset
from transfergrid.data.outline import Outline, outlined
from transfergrid.data.rounds import Rounds
from transfergrid.data.some_classes import Kept, among, kept_names, of_kept, places_of
from transfergrid.records.component import Component
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.metrics import (
    CLASSES,
    CLUSTERS,
    METRICS,
    NUMBERS,
    deciding,
    is_of_numbers,
)

if TYPE_CHECKING:
    from transfergrid.data.task import Task

RANKS = frozenset({"auroc"})
"""Ranking metrics: undefined on test examples of a single class."""
Sampling = Literal["balanced", "natural"]
SAMPLINGS: tuple[str, ...] = get_args(Sampling)
OPTIONAL = ("only", "descriptions")
"""Keys of every domain that belong to its identity only where they are given."""


@dataclass(frozen=True)
class LoadedDomain:
    """A domain's two splits, pool and test, ready to be read."""

    pool: Examples
    test: Examples
    classes: tuple[str, ...]
    """Names in label order; empty where the labels are numbers."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Plain values for a cell's record: files left out, copies found, ..."""
    outputs: tuple[str, ...] = ()
    """Names of the numbers that are the labels; empty where the labels are classes."""
    attributes: NDArray[np.float32] | None = None
    """A description of each class as numbers, (classes, d); None without descriptions."""
    rounds: Rounds | None = None
    """Where each episode lies in pool and test; None unless they are made of episodes."""

    @property
    def task(self) -> Task:
        """What is predicted for an input."""
        from transfergrid.data.regression import task_of  # imports torch; planning needs no torch

        return task_of(self.classes, self.outputs)


@dataclass(frozen=True, kw_only=True)
class Domain(Component, ABC):
    """A description of a dataset; no data are read until a method needs them.

    Attributes:
        metric: the score that decides when this domain is a target; with a metric of numbers the
            labels are numbers.
        sampling: how `k` labels per class are drawn: "balanced", or by "natural" frequencies. With
            numbers as labels, `k` are drawn in total: "balanced" draws evenly from the ten tenths
            of the numbers sorted by size, "natural" draws uniformly.
        part_of: names of larger datasets that its examples were taken from, such as "ImageNet-1k":
            a source that was trained on one of these has seen these examples.
        only: names of the classes to keep, in pool and test alike; None keeps all. A subclass's
            own methods always describe all its classes; the base class cuts their results.
        descriptions: one or more texts per class, by class name, for strategies that recognise
            classes by texts; a class without one is represented by its name, made readable.
    """

    metric: str = "accuracy"
    sampling: Sampling = "balanced"
    part_of: Sequence[str] = ()
    only: Kept | None = None
    descriptions: Descriptions | None = None

    descriptive: ClassVar[tuple[str, ...]] = ("part_of",)
    modality: ClassVar[str] = "image"
    learnable: ClassVar[bool] = True
    """Whether its labels depend on its inputs, so that there is something to learn."""
    labelled: ClassVar[bool] = True
    """Whether it has labels; a domain without labels serves sources that learn without them."""
    episodic: ClassVar[bool] = False
    """Whether it is made of episodes, each with its own labels and its own test examples."""
    of_entries: ClassVar[bool] = False
    """Whether an example is an entry of a matrix, given by the names of its row and column."""
    tasks: ClassVar[tuple[str, ...]] = (CLASSES,)
    """The kinds of task, as in `records.metrics`, that its labels allow."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Wrap a subclass's `load`, `outline` and `classes` so that they respect `only`."""
        super().__init_subclass__(**kwargs)
        for name, cut in CUTS.items():
            if name in vars(cls):
                setattr(cls, name, of_kept(vars(cls)[name], cut))
        if isinstance(vars(cls).get("classes"), (property, cached_property)):
            cls.classes = kept_names(vars(cls)["classes"])  # type: ignore[method-assign,assignment]

    @classmethod
    @override
    def about(cls) -> dict[str, Any]:
        told = super().about()
        seen = cls.modality in ("vector", "matrix")
        held: dict[str, Any] = {"modality": cls.modality} if seen else {}
        held |= {} if cls.labelled else {"unlabelled": True}
        return {**told, **held, "optional": [*told.get("optional", ()), *OPTIONAL]}

    @property
    def whole(self) -> Self:
        """The same domain with all its classes."""
        made = copy.copy(self)
        object.__setattr__(made, "only", None)
        return made

    @classmethod
    def copy_search(cls) -> int:
        """Return the version of the search for copies; it matters where copies are dropped."""
        return search_version(cls.modality)

    @property
    def each(self) -> tuple[Domain, ...]:
        """The domains that it consists of; itself alone unless it combines several."""
        return (self,)

    @property
    def kind(self) -> str:
        """Its name where the user gave it none."""
        return type(self).__name__

    @property
    def is_described(self) -> bool:
        """Whether each class has a description as numbers, `LoadedDomain.attributes`."""
        return False

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """The classes' names in label order; cheap, no example is decoded or drawn.

        Empty where the labels are numbers.
        """

    @property
    def class_texts(self) -> tuple[tuple[str, ...], ...]:
        """One or more texts of each class in label order: its descriptions, or its readable name.

        Raises:
            BadInputError: a described class does not exist, a text is empty, or two classes have
                the same text.
        """
        known = self.whole.classes if self.only is not None else ()
        return class_texts(self.classes, self.descriptions, known)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the numbers that are the labels; empty where the labels are classes."""
        return ()

    @property
    def vector(self) -> tuple[str, ...]:
        """Names of the numbers of an input vector, in order; empty where inputs are no vectors."""
        return ()

    @property
    def of_numbers(self) -> bool:
        """Whether its labels are numbers, which its metric decides."""
        return is_of_numbers(self.metric)

    @property
    def task(self) -> Task:
        """What is predicted for an input."""
        from transfergrid.data.regression import task_of  # imports torch; planning needs no torch

        return task_of(self.classes, self.outputs, self.metric)

    @abstractmethod
    def load(self) -> LoadedDomain:
        """Return the two splits; every call returns the same ones."""

    def outline(self) -> Outline:
        """Return how many examples each class has.

        Planning calls this. Override it in domains that are slow to load.
        """
        loaded = self.load()
        return outlined(loaded.classes, loaded.pool.labels, loaded.test.labels)

    def check(self) -> None:
        """Check for everything that would make `load` or `read` fail later.

        Raises:
            BadInputError: something in this domain's configuration or files is wrong.
        """
        known = [name for name, metric in METRICS.items() if metric.decides]
        check_known("metric", self.metric, known)
        kind = METRICS[self.metric].task
        if kind not in self.tasks and not (kind == CLUSTERS and CLASSES in self.tasks):
            here = " or ".join(name for task in self.tasks for name in deciding(task))
            holds = "classes" if CLASSES in self.tasks else "numbers"
            raise BadInputError(
                f"{self.metric} is a metric of {'numbers' if kind == NUMBERS else 'classes'}, and "
                f"{type(self).__name__} holds {holds}: target.metric takes {here}"
            )

    def remarks(self) -> list[str]:
        """Return remarks on the data to print before a grid runs; fast after `check`."""
        return []

    def check_kept(self) -> None:
        """Raise unless all classes in `only` exist; call it after `check`.

        Raises:
            BadInputError: one of them does not exist, or there are fewer than two.
        """
        if self.only is not None:
            places_of(self.only, self.whole.classes)

    def check_tested(self, loaded: LoadedDomain | None = None) -> None:
        """Raise unless the test part can be scored by the metric that decides on this target.

        Raises:
            BadInputError: it has one class only, and the metric ranks examples of several.
        """
        if self.metric not in RANKS:
            return
        loaded = loaded or self.load()
        there = np.unique(loaded.test.labels)
        if len(there) < 2:
            only = ", ".join(loaded.classes[k] for k in there)
            raise BadInputError(
                f"{self.metric} says whether examples of one class stand above those of others, "
                f"and all test examples are {only}: test on two classes, or give another "
                "target.metric, such as accuracy"
            )

    def featuriser(self) -> Any:
        """Return an unfitted scikit-learn transformer from `Raw` to features (n, d).

        It makes the inputs of the classical baseline that is reported beside every strategy.
        """
        from transfergrid.data.entry_features import NamesOfEntries
        from transfergrid.data.features import ImageFeatures
        from transfergrid.data.text_features import TextFeatures
        from transfergrid.data.vector_features import VectorFeatures

        kinds = {"text": TextFeatures, "vector": VectorFeatures, "matrix": NamesOfEntries}
        return kinds.get(self.modality, ImageFeatures)()


# Only some classes -------------------------------------------------------------------------------


def _loaded_of(only: Kept, told: LoadedDomain) -> LoadedDomain:
    """Return the splits with the examples of these classes only."""
    kept = places_of(only, told.classes)
    pool, test = (
        Subset(examples, *among(kept, examples.labels)) for examples in (told.pool, told.test)
    )
    classes = tuple(told.classes[place] for place in kept)
    attributes = None if told.attributes is None else told.attributes[kept]
    return replace(told, pool=pool, test=test, classes=classes, attributes=attributes)


def _outline_of(only: Kept, told: Outline) -> Outline:
    kept = places_of(only, told.classes)
    parts = (told.classes, told.pool, told.test)
    return Outline(*(tuple(part[place] for place in kept) for part in parts))  # type: ignore[arg-type]


CUTS: dict[str, Callable[[Kept, Any], Any]] = {"load": _loaded_of, "outline": _outline_of}
"""By method: the function that cuts its result to the classes in `only`."""
