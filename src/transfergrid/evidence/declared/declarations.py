"""What a grid declares before its results are there: the family, the margin, baselines and seeds.

Its digest stands on every table and report, so that a reader can tell whether two of them were
decided by the same declaration, and whether it was made before the first look.
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
"""Digits of a declaration's digest that are shown."""


@dataclass(frozen=True, kw_only=True)
class Declaration(Rules):
    """What verdicts are decided by.

    Args:
        margin: as in `Rules`; so the next three, but that the error is that of all looks.
        max_seeds: the last seeds that there will be, if that is known; nothing is kept in reserve
            for further ones then.
        margins: other margins than `margin`, by the name of a target: a small test part tells no
            difference of a point.
        family: what is corrected together, in words.
        baselines: the primary baseline of each strategy, with labels and without.
        seeds: the seed blocks asked for.
        sources: names of the sources asked for; likewise the other three.

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
        """The part that single families are decided by, where a target has no margin of its own."""
        return Rules(**{each.name: getattr(self, each.name) for each in fields(Rules)})

    def rules_on(self, target: str | None) -> Rules:
        """Return what families of a target of this name are decided by.

        Raises:
            BadInputError: its margin makes no sense.
        """
        margin = self.margins.get(str(target))
        return self.rules if margin is None else replace(self.rules, margin=margin)

    @property
    def digest(self) -> str:
        """16 hex digits of it."""
        text = json.dumps(self.plain(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        told: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if not self.margins:
            del told["margins"]  # it came later than declarations, whose digests stay
        return told

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Declaration:
        """Read one as a grid keeps it.

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
    """What a cell is compared with, and whether its source has seen its target.

    That is no part of a cell's identity: the grid that asked for it last says.
    """

    baseline: Reference | None
    exploratory: tuple[Reference, ...]
    contaminated_by: tuple[str, ...] | None = None
    """None where the grid is so old that it does not say."""


class _LeftOut(TypedDict):
    cell: str
    reason: str


class Grid(TypedDict):
    """What was asked for, as `sweep` keeps it."""

    id: NotRequired[str]
    study: NotRequired[str | None]
    asked: NotRequired[Annotated[str, Checked(is_time)]]
    declaration: NotRequired[dict[str, Any] | None]
    compared: NotRequired[bool]
    """Whether its cells were to be compared with anything; they were where it does not say."""
    cells: dict[str, Comparisons]
    wanted: NotRequired[list[str]]
    left_out: NotRequired[list[_LeftOut]]


_grid: Reader[Grid] = Reader(Grid)


def read_grid(text: bytes) -> Grid:
    """Read a grid's document.

    Raises:
        BadInputError: it is none, or declares what makes no sense.
    """
    grid = _grid(text)
    if grid.get("declaration"):
        Declaration.read(grid["declaration"] or {})
    return grid


def grids_of(ledger: Ledger) -> list[Grid]:
    """Return a ledger's grids by name; those that cannot be read are left out with a warning."""
    return ledger.documents("grids", read_grid)


def newest(grids: Sequence[Mapping[str, Any]]) -> Declaration | None:
    """Return the declaration of the grid that was asked for last; None if none declares any."""
    told = _declaring(grids)
    return Declaration.read(told[-1]["declaration"]) if told else None


def by_family(
    grids: Iterable[Mapping[str, Any]], cells: Mapping[Family, set[str]]
) -> dict[str, Declaration]:
    """Return each family's declaration: that of the last grid that asked for any of its cells.

    Args:
        grids: as the ledger keeps them.
        cells: identities of each family's cells.
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
    """Return what seeds were declared for each family before anybody looked at it.

    The last grid that was asked for by then counts. A grid that is asked for again is kept as of
    then: without any from before the first look, what was declared at that look counts, or else
    the seeds that it showed. Of families that nobody looked at the last grid counts. So nothing
    that is declared after a look changes what the look has spent.

    Args:
        grids: as the ledger keeps them.
        cells: identities of each family's cells.
        looks: at this ledger, the oldest first.
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
    """Return the grids that declare something, the last asked for last."""
    told = [grid for grid in grids if grid.get("declaration")]
    return sorted(told, key=lambda grid: str(grid.get("asked")))


def _plan(declared: Mapping[str, Any], shown: int | None = None) -> Plan:
    return Plan(len(declared.get("seeds", ())) or shown, declared.get("max_seeds"))


def asking(grids: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return by identity of a cell the identity of the grid that asked for it last."""
    ordered = sorted(grids, key=lambda grid: str(grid.get("asked")))
    return {name: str(grid.get("id")) for grid in ordered for name in grid["cells"]}


def comparisons(grids: Iterable[Grid]) -> dict[str, Comparisons]:
    """Return each cell's comparisons by identity, as the last grid said that compared anything."""
    comparing = [grid for grid in grids if grid.get("compared", True)]
    ordered = sorted(comparing, key=lambda grid: str(grid.get("asked")))
    return {name: told for grid in ordered for name, told in grid["cells"].items()}
