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
"""Metrics of whether examples of one class stand above those of others."""
Sampling = Literal["balanced", "natural"]
SAMPLINGS: tuple[str, ...] = get_args(Sampling)
OPTIONAL = ("only", "descriptions")
"""Keys of every domain that are no part of what it is where they are not given."""


@dataclass(frozen=True)
class LoadedDomain:
    """A domain's two splits, ready to be read."""

    pool: Examples
    test: Examples
    classes: tuple[str, ...]
    """None where the labels are numbers."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Plain values for a cell's record: files left out, copies found, ..."""
    outputs: tuple[str, ...] = ()
    """What the numbers are called that the labels are; none where they are classes."""
    attributes: NDArray[np.float32] | None = None
    """A description of each class, (classes, d), where it has one."""
    rounds: Rounds | None = None
    """Where each episode lies in pool and test, where they are made of episodes."""

    @property
    def task(self) -> Task:
        """What is predicted of an input."""
        from transfergrid.data.regression import task_of  # torch, which planning does without

        return task_of(self.classes, self.outputs)


@dataclass(frozen=True, kw_only=True)
class Domain(Component, ABC):
    """A dataset by its description; nothing is read before it is asked for.

    Attributes:
        metric: the score that decides when this domain is a target; of a metric of numbers the
            labels are numbers.
        sampling: how `k` labels a class are drawn: "balanced", or "natural" frequencies. Of
            numbers `k` are drawn in all: evenly from each tenth of them by size, or as they come.
        part_of: names of larger datasets that its examples were taken from, such as "ImageNet-1k":
            a source that was trained on one of these has seen them.
        only: names of the classes that are kept, of pool and test alike; None for all. What a
            subclass says of itself is of all its classes, whatever is kept.
        descriptions: of classes by name, a text or several each, for strategies that tell classes
            by texts; a class without any goes by its name, made readable.
    """

    metric: str = "accuracy"
    sampling: Sampling = "balanced"
    part_of: Sequence[str] = ()
    only: Kept | None = None
    descriptions: Descriptions | None = None

    descriptive: ClassVar[tuple[str, ...]] = ("part_of",)
    modality: ClassVar[str] = "image"
    learnable: ClassVar[bool] = True
    """Whether its labels say anything about its inputs."""
    labelled: ClassVar[bool] = True
    """Whether it has labels; one without any is for sources that learn from inputs alone."""
    episodic: ClassVar[bool] = False
    """Whether it is made of episodes, each with labels and a test of its own."""
    of_entries: ClassVar[bool] = False
    """Whether an example is an entry of a matrix, known by the names of its row and column."""
    tasks: ClassVar[tuple[str, ...]] = (CLASSES,)
    """What its labels may be, by kinds of task as in `records.metrics`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let what a subclass says of all its classes be of those that are kept, where some are."""
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
        """Return the version of how copies are found; where they are dropped, it decides."""
        return search_version(cls.modality)

    @property
    def each(self) -> tuple[Domain, ...]:
        """The domains that it is made of; alone where it is one."""
        return (self,)

    @property
    def kind(self) -> str:
        """What it is called where nobody gave it a name."""
        return type(self).__name__

    @property
    def is_described(self) -> bool:
        """Whether each class has a description, `LoadedDomain.attributes`."""
        return False

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """The classes' names in label order; cheap, nothing is decoded or drawn.

        None where the labels are numbers.
        """

    @property
    def class_texts(self) -> tuple[tuple[str, ...], ...]:
        """The texts of each class in label order, one or more: descriptions, or readable names.

        Raises:
            BadInputError: a description is of no class, empty, or of two classes.
        """
        known = self.whole.classes if self.only is not None else ()
        return class_texts(self.classes, self.descriptions, known)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the numbers are called that the labels are; none where they are classes."""
        return ()

    @property
    def vector(self) -> tuple[str, ...]:
        """What the numbers of a vector are called, in their order; none where it holds others."""
        return ()

    @property
    def of_numbers(self) -> bool:
        """Whether its labels are numbers: that is so by a metric of numbers."""
        return is_of_numbers(self.metric)

    @property
    def task(self) -> Task:
        """What is predicted of an input."""
        from transfergrid.data.regression import task_of  # torch, which planning does without

        return task_of(self.classes, self.outputs, self.metric)

    @abstractmethod
    def load(self) -> LoadedDomain:
        """Return the splits; the same ones every time."""

    def outline(self) -> Outline:
        """Return how many examples each class has; asked while planning, so override slow ones."""
        loaded = self.load()
        return outlined(loaded.classes, loaded.pool.labels, loaded.test.labels)

    def check(self) -> None:
        """Look for everything that would make `load` or `read` fail later.

        Raises:
            BadInputError: something about this domain cannot be.
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
        """Return lines on what to know of the data before a grid runs; fast after `check`."""
        return []

    def check_kept(self) -> None:
        """Raise unless the classes that are kept are there; after `check`.

        Raises:
            BadInputError: one of them is not.
        """
        if self.only is not None:
            places_of(self.only, self.whole.classes)

    def check_tested(self, loaded: LoadedDomain | None = None) -> None:
        """Raise unless the test part can be scored by the metric that decides on this target.

        Raises:
            BadInputError: it has one class only, and the metric compares classes.
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

        It prepares examples for the classical learner that is shown beside every strategy.
        """
        from transfergrid.data.entry_features import NamesOfEntries
        from transfergrid.data.features import ImageFeatures
        from transfergrid.data.text_features import TextFeatures
        from transfergrid.data.vector_features import VectorFeatures

        kinds = {"text": TextFeatures, "vector": VectorFeatures, "matrix": NamesOfEntries}
        return kinds.get(self.modality, ImageFeatures)()


# Only some classes -------------------------------------------------------------------------------


def _loaded_of(only: Kept, told: LoadedDomain) -> LoadedDomain:
    """Return the splits as far as they are of these classes."""
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
"""How what a domain says of all its classes is cut to those that are kept, by who says it."""
