"""What a grid declares before it has results: the family, the margin, the baselines and seeds.

Every table and report shows the declaration's digest, so that a reader can tell whether two of them
were decided by the same declaration, and whether it was made before the first look.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, NotRequired

from typing_extensions import TypedDict

from transfergrid.evidence.declared.looks import Look, Plan, named
from transfergrid.evidence.verdicts.decisions import Rules
from transfergrid.evidence.verdicts.families import Family
from transfergrid.records.cell import Reference
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.files.border import Checked, Reader, is_time
from transfergrid.records.ledgers.ledger import Ledger

FAMILY = "one target x one label budget x one baseline, placebos apart"
SHOWN = 8
"""Number of digits shown of a declaration's digest."""


@dataclass(frozen=True, kw_only=True)
class Declaration(Rules):
    """The declared parameters by which verdicts are decided.

    Args:
        margin: as in `Rules`; likewise the next three, except that `alpha` is the error rate of all
            looks together.
        max_seeds: the largest number of seeds that there will be, if known; then no error is
            reserved for further seeds.
        margins: by target name, a margin that replaces `margin`: a small test set cannot show a
            difference of one point.
        family: in words, which comparisons are corrected together.
        baselines: for each strategy its primary baselines, with target labels and without.
        seeds: the requested seed blocks.
        sources: names of the requested sources; likewise the other three.

    Raises:
        BadInputError: a value makes no sense.
    """

    max_seeds: int | None = None
    margins: dict[str, float] = field(default_factory=dict)
    family: str = FAMILY
    baselines: dict[str, list[str | None]] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        most = self.max_seeds
        if most is not None and (type(most) is not int or most < len(self.seeds)):
            raise BadInputError(
                f"verdict.max_seeds={most}: give a number of seeds, {len(self.seeds)} or more"
            )

        for target in self.margins:
            self.rules_on(target)

    @property
    def rules(self) -> Rules:
        """The rules that decide a family, if its target has no margin of its own."""
        return Rules(**{each.name: getattr(self, each.name) for each in fields(Rules)})

    def rules_on(self, target: str | None) -> Rules:
        """Return the rules that decide the families of the target with this name.

        Raises:
            BadInputError: its margin makes no sense.
        """
        margin = self.margins.get(str(target))
        return self.rules if margin is None else replace(self.rules, margin=margin)

    @property
    def digest(self) -> str:
        """The first 16 hex digits of the declaration's SHA-256."""
        text = json.dumps(self.plain(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def plain(self) -> dict[str, Any]:
        """Return the declaration as it is stored in JSON."""
        told: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if not self.margins:
            del told["margins"]  # added later; without it, old digests stay valid
        return told

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Declaration:
        """Return the declaration that a grid has stored.

        Raises:
            BadInputError: a key or value makes no sense.
        """
        for key in told:
            check_known("key of a declaration", key, [item.name for item in fields(cls)])
        return _declaration.of(dict(told))


KEYS = ("margin", "margins", "alpha", "power", "correction", "max_seeds")
"""The keys of `verdict` in a config."""

_declaration: Reader[Declaration] = Reader(Declaration)


@dataclass(frozen=True)
class Comparisons:
    """The baselines that a cell is compared with, and whether its source has seen its target.

    This is not part of a cell's identity: the grid that requested the cell last decides.
    """

    baseline: Reference | None
    exploratory: tuple[Reference, ...]
    contaminated_by: tuple[str, ...] | None = None
    """None if the grid is so old that it does not say."""


class _LeftOut(TypedDict):
    cell: str
    reason: str


class Grid(TypedDict):
    """A request, as `sweep` stores it."""

    id: NotRequired[str]
    study: NotRequired[str | None]
    asked: NotRequired[Annotated[str, Checked(is_time)]]
    declaration: NotRequired[dict[str, Any] | None]
    compared: NotRequired[bool]
    """Whether its cells were to be compared with a baseline; true where the key is missing."""
    cells: dict[str, Comparisons]
    wanted: NotRequired[list[str]]
    left_out: NotRequired[list[_LeftOut]]


_grid: Reader[Grid] = Reader(Grid)


def read_grid(text: bytes) -> Grid:
    """Return a grid from its stored document.

    Raises:
        BadInputError: it is not a grid, or its declaration makes no sense.
    """
    grid = _grid(text)
    if grid.get("declaration"):
        Declaration.read(grid["declaration"] or {})
    return grid


def grids_of(ledger: Ledger) -> list[Grid]:
    """Return a ledger's grids, sorted by name; unreadable ones are left out with a warning."""
    return ledger.documents("grids", read_grid)


def newest(grids: Sequence[Mapping[str, Any]]) -> Declaration | None:
    """Return the declaration of the grid that was requested last; None if no grid declares any."""
    told = _declaring(grids)
    return Declaration.read(told[-1]["declaration"]) if told else None


def by_family(
    grids: Iterable[Mapping[str, Any]], cells: Mapping[Family, set[str]]
) -> dict[str, Declaration]:
    """Return each family's declaration: that of the last grid that requested any of its cells.

    Args:
        grids: the grids as stored in the ledger.
        cells: ids of each family's cells.
    """
    told = [(Declaration.read(g["declaration"]), set(g["cells"])) for g in _declaring(grids)]
    found = {}
    for family, members in cells.items():
        mine = [one for one, ids in told if not members.isdisjoint(ids)]
        if mine:
            found[named(family)] = mine[-1]
    return found


def plans_by_family(
    grids: Iterable[Mapping[str, Any]],
    cells: Mapping[Family, set[str]],
    looks: Sequence[Look],
) -> dict[str, Plan]:
    """Return the seeds that were declared for each family before anybody looked at it.

    The last grid requested before the family's first look counts. A grid that is requested again is
    stored with the new time, so it may happen that no grid is left from before the first look. Then
    the declaration stored with that look counts, or else the number of seeds that it showed. For
    families that nobody looked at, the last grid counts. So nothing declared after a look changes
    the error that the look has spent.

    Args:
        grids: the grids as stored in the ledger.
        cells: ids of each family's cells.
        looks: the looks at this ledger, the oldest first.
    """
    told = [(str(g.get("asked")), g["declaration"], set(g["cells"])) for g in _declaring(grids)]
    found = {}
    for family, members in cells.items():
        name = named(family)
        first = next((look for look in looks if name in look.seeds), None)
        asked = [(at, one) for at, one, ids in told if not members.isdisjoint(ids)]
        before = [one for at, one in asked if first is None or at <= first.at]
        if before:
            found[name] = _plan(before[-1])
        elif first:
            shown = max(map(len, first.seeds[name].values()), default=0)
            found[name] = _plan(first.declaration, shown)
    return found


def _declaring(grids: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the grids with a declaration, in the order in which they were requested."""
    told = [grid for grid in grids if grid.get("declaration")]
    return sorted(told, key=lambda grid: str(grid.get("asked")))


def _plan(declared: Mapping[str, Any], shown: int | None = None) -> Plan:
    return Plan(len(declared.get("seeds", ())) or shown, declared.get("max_seeds"))


def asking(grids: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return by cell id the id of the grid that requested the cell last."""
    ordered = sorted(grids, key=lambda grid: str(grid.get("asked")))
    return {name: str(grid.get("id")) for grid in ordered for name in grid["cells"]}


def comparisons(grids: Iterable[Grid]) -> dict[str, Comparisons]:
    """Return each cell's comparisons by id, from the last grid that compared its cells at all."""
    comparing = [grid for grid in grids if grid.get("compared", True)]
    ordered = sorted(comparing, key=lambda grid: str(grid.get("asked")))
    return {name: told for grid in ordered for name, told in grid["cells"].items()}
