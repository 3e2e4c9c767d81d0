"""A cell (one run), from the plan to its record: its parts, its names and its baselines.

A plan is a list of cells. A worker receives a cell as JSON. A `Record` is a cell with its results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Interval

from transfergrid.records import shapes
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.border import Checked, Reader
from transfergrid.records.needs import Needs
from transfergrid.records.printing import one_line

PROTOCOL = 2
"""Version of the procedure that all cells follow.

It is raised whenever drawing labels, training, choosing a step or scoring changes for every cell.
Protocol 1 hashed the dotted path of a shipped class; protocol 2 hashes the name of the class.
"""
Labels = int | Literal["all"]
"""A label budget: 0, a whole number per class, or all."""
Small = Interval(ge=-(2**63), lt=2**63)
"""Bounds of a signed 64-bit integer, the type of such a column in the index."""


def _a_budget(labels: Labels) -> Labels:
    if labels != "all" and labels < 0:
        raise ValueError(f"give 0, a whole number per class, or all, and not {labels}")
    return labels


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names of a cell's parts, as tables show them; two different parts may share a name."""

    strategy: Annotated[str, "the strategy"]
    target: Annotated[str, "the target domain"]
    source: Annotated[str | None, "the source; null for an arm that uses none"] = None
    architecture: Annotated[str | None, "the backbone's architecture; null if there is none"] = None
    training: Annotated[str | None, "the shared training; null for an arm without steps"] = None
    tuning: Annotated[str | None, "how settings were looked for; null where none were"] = None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Digests of the parts' canonical configs.

    Cells with equal digests differ at most in their label budget and their seed.
    """

    strategy: Annotated[str, "hex digest of the strategy's config"]
    target: Annotated[str, "hex digest of the target's config"]
    source: Annotated[str | None, "hex digest of the source's config; null if there is none"] = None
    training: Annotated[
        str | None, "hex digest of what all arms share; null for an arm it does not reach"
    ] = None
    tuning: Annotated[
        str | None, "hex digest of the search and what was searched; null without one"
    ] = None


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A baseline: another cell that this cell is compared with."""

    name: Annotated[
        str, "the strategy of the cell compared with; `@` and its labels where these are others"
    ]
    id: Annotated[str, "that cell's identity"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run: a combination of source, strategy, target, label budget, seed and training."""

    id: Annotated[str, "identity of the cell: 16 hex digits"]
    protocol: Annotated[
        int, Ge(1), "version of what identity is made of; 1 where a record does not say"
    ] = 1
    names: Annotated[Names, "what tables call the parts of the cell"]
    parts: Annotated[Parts, "digests of the parts' configs; what rows are grouped by"]
    labels: Annotated[
        Labels, Checked(_a_budget), "target labels given: 0, a number per class, or all"
    ]
    seed: Annotated[int, Small, "the seed block, shared by all arms of a comparison"]
    config: Annotated[dict[str, Any], Checked(shapes.config), "the full plain config of the cell"]
    baseline: Annotated[Reference | None, "the primary baseline; null for an arm without one"] = (
        None
    )
    exploratory: Annotated[tuple[Reference, ...], "further baselines"] = ()
    study: Annotated[str | None, "the study that asked for the cell"] = None
    grid: Annotated[str | None, "identity of the grid that asked for it"] = None

    @property
    def label(self) -> str:
        """The cell in words, on one line, for people."""
        words = [self.names.source, self.names.strategy, self.names.target]
        rest = [f"labels={self.labels}", f"seed={self.seed}"]
        training = self.names.training
        if training and "(" in training:  # a shipped training with changed values
            rest.append(training)
        rest += [f"tuning={self.names.tuning}"] if self.names.tuning else []
        return one_line(", ".join([" x ".join(filter(None, words)), *rest]))

    @property
    def needs(self) -> Mapping[str, Any]:
        """The needs that the strategy declares (see `Needs`); empty if the config has none."""
        about = (self.config.get("strategy") or {}).get("about") or {}
        return about.get("needs") or {}

    @property
    def is_choosy(self) -> bool:
        """Whether only the actual networks can show if the strategy is possible.

        This also holds if a strategy nested in the config (such as a teacher's) depends on the
        network, or if an `optional` argument of the strategy is set.
        """
        return any(map(_is_choosy, _parts(self.config.get("strategy") or {})))


def _parts(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a config node, then every node nested inside it; `about` blocks are skipped."""
    yield node
    for key, value in node.items():
        if isinstance(value, Mapping) and key != "about":
            yield from _parts(value)


def _is_choosy(strategy: Mapping[str, Any]) -> bool:
    about = strategy.get("about") or {}
    added = any(strategy.get(key) is not None for key in about.get("optional", ()))
    return added or Needs.read(about.get("needs") or {}).are_choosy


Kind = TypeVar("Kind", bound=Cell)
_read: Reader[Cell] = Reader(Cell)


def cell_of(plain: Any) -> Cell:
    """Return a cell from the plain values of a worker's order or of a record.

    Raises:
        BadInputError: the values do not describe a cell.
    """
    try:
        return _read.of(plain)
    except BadInputError as error:
        raise BadInputError(f"no cell: {error}") from None


def title(names: Names, labels: Labels) -> str:
    """Return the common title of cells that differ only in their seed."""
    words = [names.source or names.architecture, names.strategy, names.target]
    return " ".join([*filter(None, words), f"labels={labels}"])


def pair_of(cell: Cell) -> tuple[str, str | None]:
    """Return the digests of a cell's strategy and source, which may be incompatible."""
    return cell.parts.strategy, cell.parts.source


def different_parts(cells: Sequence[Kind]) -> list[Kind]:
    """Return a small subset of the cells that covers every strategy and every source.

    For strategies that do not suit every network (`Cell.is_choosy`), it covers every combination of
    strategy and source.
    """
    seen: set[tuple[str | None, ...]] = set()
    chosen = []
    for cell in cells:
        both = pair_of(cell)
        parts: set[tuple[str | None, ...]] = set(zip(("strategy", "source"), both, strict=True))
        if cell.is_choosy:
            parts.add(("both", *both))
        if not parts <= seen:
            chosen.append(cell)
            seen |= parts
    return chosen
