"""Several labelled domains as one: the training data of a source of several domains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.examples import Examples, Labels
from transfergrid.data.outline import Outline
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.records.files.spellings import near
from transfergrid.records.identity import config_digest
from transfergrid.records.metrics import CLASSES, NUMBERS
from transfergrid.records.several import PARTS, in_one_order

if TYPE_CHECKING:
    from transfergrid.data.inputs import Raw


@dataclass(frozen=True, kw_only=True)
class SeveralDomains(Domain):
    """The union of several domains, their classes matched by name.

    The domains are sorted into a canonical order, so that no result depends on the order in which
    they were typed. Only a source can have several domains; a target is one domain.

    Attributes:
        parts: the domains, at least two.
        names: their names, for readers.
    """

    parts: Sequence[Domain]
    names: Sequence[str] = ()

    descriptive: ClassVar[tuple[str, ...]] = ("part_of", "names")
    tasks: ClassVar[tuple[str, ...]] = (CLASSES, NUMBERS)

    def __post_init__(self) -> None:
        """Sort the domains into the canonical order."""
        super().__post_init__()
        order = in_one_order([config_of(part) for part in self.parts])
        object.__setattr__(self, PARTS, tuple(self.parts[place] for place in order))
        if self.names:
            object.__setattr__(self, "names", tuple(self.names[place] for place in order))

    @property
    def modality(self) -> str:  # type: ignore[override]
        """The modality, which is the same for all."""
        return self.parts[0].modality

    @property
    def learnable(self) -> bool:  # type: ignore[override]
        """Whether the labels of all domains depend on their inputs."""
        return all(part.learnable for part in self.parts)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the first domain, then the further classes of the others."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.classes))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the numbers, in the first domain's order."""
        return self.parts[0].outputs

    @property
    def each(self) -> tuple[Domain, ...]:
        """See `Domain.each`."""
        return tuple(self.parts)

    @property
    def kind(self) -> str:
        """See `Domain.kind`."""
        return " + ".join(self.called(place) for place in range(len(self.parts)))

    def called(self, place: int) -> str:
        """Return the name of the domain at this place."""
        return self.names[place] if self.names else self.parts[place].kind

    def check(self) -> None:
        """See `Domain.check`."""
        super().check()
        if len(self.parts) < 2:
            raise BadInputError("several domains are two at least")
        for part in self.parts:
            part.check()
        for pair in combinations(range(len(self.parts)), 2):
            self._check_pair(*pair)

    def _check_pair(self, one: int, other: int) -> None:
        first, second = self.parts[one], self.parts[other]
        names = f"{self.called(one)} and {self.called(other)}"
        if config_digest(config_of(first)) == config_digest(config_of(second)):
            raise BadInputError(f"{names} are the same domain")
        for what in ("modality", "metric"):
            held = [str(getattr(part, what)) for part in (first, second)]
            if held[0] != held[1]:
                raise BadInputError(f"{names} are no one source: {' and '.join(held)}")
        if {*first.outputs} != {*second.outputs}:
            raise BadInputError(f"{names} hold other numbers each")
        new = {*second.classes} - {*first.classes}
        alike = {near(name): name for name in {*first.classes} - {*second.classes}}
        for name in sorted(new):
            if near(name) in alike:
                raise BadInputError(
                    f"{names}: classes {alike[near(name)]!r} and {name!r} differ only in how they "
                    "are written"
                )

    def remarks(self) -> list[str]:
        """See `Domain.remarks`."""
        return [line for part in self.parts for line in part.remarks()]

    def outline(self) -> Outline:
        """See `Domain.outline`."""
        outlines = [part.outline() for part in self.parts]
        names = self.classes
        return Outline(names, *(_summed(outlines, names, what) for what in ("pool", "test")))

    def load(self) -> LoadedDomain:
        """See `Domain.load`."""
        loaded = [part.load() for part in self.parts]
        names = self.classes or self.outputs
        places = [_places(one.classes or one.outputs, names) for one in loaded]
        pool = JoinedExamples([one.pool for one in loaded], places)
        test = JoinedExamples([one.test for one in loaded], places)
        return LoadedDomain(pool, test, self.classes, outputs=self.outputs)


def _summed(outlines: Sequence[Outline], names: Sequence[str], what: str) -> tuple[int, ...]:
    if not names:
        return (sum(getattr(outline, what)[0] for outline in outlines),)
    each = [dict(zip(outline.classes, getattr(outline, what), strict=True)) for outline in outlines]
    return tuple(sum(counts.get(name, 0) for counts in each) for name in names)


def _places(theirs: Sequence[str], ours: Sequence[str]) -> NDArray[np.int64]:
    """Return the place in `ours` of each name in `theirs`."""
    places: Mapping[str, int] = {name: place for place, name in enumerate(ours)}
    return np.array([places[name] for name in theirs], dtype=np.int64)


class JoinedExamples(Examples):
    """The examples of one split of several domains, one domain after the other."""

    def __init__(self, parts: Sequence[Examples], places: Sequence[NDArray[np.int64]]) -> None:
        """Join the examples, and map their labels to a common order of classes or numbers.

        Args:
            parts: the examples of each domain.
            places: for each domain, the places of its classes, or numbers, in the common order.
        """
        self.parts = parts
        self.starts = np.cumsum([0, *map(len, parts)])
        self.labels = np.concatenate(
            [_relabelled(part.labels, own) for part, own in zip(parts, places, strict=True)]
        )
        self.are_decoded = any(part.are_decoded for part in parts)
        self.clusters = _told_apart([part.kept_whole for part in parts], self.starts)

    @property
    def characters(self) -> NDArray[np.int64] | None:
        """See `Examples.characters`."""
        each = [part.characters for part in self.parts]
        known = [one for one in each if one is not None]
        return np.concatenate(known) if len(known) == len(each) else None

    def read(self, indices: NDArray[np.int64]) -> Raw:
        """Return a list of these examples; the sizes of images may differ."""
        found: list[Any] = [None] * len(indices)
        of = np.searchsorted(self.starts, indices, side="right") - 1
        for place in np.unique(of):
            here = np.flatnonzero(of == place)
            own = self.parts[place].read(indices[here] - self.starts[place])
            for position, example in zip(here, own, strict=True):
                found[position] = example
        return found

    def in_parts(self, indices: NDArray[np.int64]) -> Iterator[Raw]:
        """See `Examples.in_parts`; consecutive examples of one domain use that domain's parts."""
        of = np.searchsorted(self.starts, indices, side="right") - 1
        ends = [0, *(np.flatnonzero(np.diff(of)) + 1), len(indices)]
        if len(ends) - 1 > len(self.parts):  # domains are mixed
            yield from super().in_parts(indices)
            return
        for begin, end in pairwise(ends):
            if end > begin:
                place = of[begin]
                own = indices[begin:end] - self.starts[place]
                yield from self.parts[place].in_parts(own)


def _relabelled(labels: Labels, places: NDArray[np.int64]) -> Labels:
    if labels.dtype.kind != "f":
        return places[labels]
    return labels if labels.ndim == 1 else labels[:, np.argsort(places)]


def _told_apart(
    each: Sequence[NDArray[np.str_] | None], starts: NDArray[np.int64]
) -> NDArray[np.str_] | None:
    """Return the clusters of all examples, (n,), distinct between domains; None if none has any.

    In a domain without clusters each example is one.
    """
    if all(one is None for one in each):
        return None
    found = []
    for number, one in enumerate(each):
        size = int(starts[number + 1] - starts[number])
        own = np.arange(size).astype(str) if one is None else one
        found.append(np.char.add(f"{number}:", own))
    return np.concatenate(found)
