"""The parts of a plan: options, arms, cells in order. Plain values, no Hydra, no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import PurePath
from typing import Any

from transfergrid.records.cell import Cell, Labels, Names, Parts
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config
from transfergrid.records.files.fingerprints import PACKAGE, is_packaged
from transfergrid.records.identity import config_digest, digest, learner_of
from transfergrid.records.needs import Baselines, Needs


@dataclass(frozen=True, eq=False)
class Option:
    """One choice on one axis: its display name and its complete config.

    `typed` are the keys inside it that the user set, such as "lr_factor" or "teacher.lr_factor".
    `usual` are the grid's own defaults, by the same keys, for keys that the user did not set.
    """

    name: str
    config: Config
    typed: frozenset[str] = frozenset()
    usual: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Digest of the config in canonical form."""
        return config_digest(self.config)

    @cached_property
    def needs(self) -> Needs:
        """What a strategy needs."""
        return Needs.read(self._said("needs"), f"strategy {self.name}")

    @cached_property
    def baselines(self) -> Baselines:
        """The baselines that a strategy is compared with."""
        return Baselines.read(self._said("baselines"), f"strategy {self.name}")

    def _said(self, what: str) -> Config:
        """Return a part of a strategy's `about`.

        Raises:
            BadInputError: it is missing.
        """
        said = (self.config.get("about") or {}).get(what)
        if not isinstance(said, Mapping):
            raise BadInputError(f"strategy {self.name}: its YAML says nothing under about.{what}")
        return dict(said)


@dataclass(frozen=True)
class Shared:
    """The training and the search that all arms of a comparison share."""

    training: Option
    tuning: Option | None = None
    """How settings are searched for inside a cell; None: each strategy runs at its defaults."""


@dataclass(frozen=True, eq=False)
class Arm:
    """The parts of cells that differ only in labels and seed, without what cannot matter there."""

    source: Option | None
    strategy: Option
    target: Option
    training: Option | None
    parts: Parts
    tuning: Option | None = None

    @cached_property
    def names(self) -> Names:
        """The names of its parts in tables; no source where only its architecture is used."""
        used = self.source and self.strategy.needs.source not in ("none", "architecture")
        network = self._network
        return Names(
            source=self.source.name if self.source and used else None,
            strategy=self.strategy.name,
            target=self.target.name,
            architecture=architecture_name(network) if network else None,
            training=self.training.name if self.training else None,
            tuning=self.tuning.name if self.tuning else None,
        )

    @property
    def _network(self) -> Config | None:
        """The network that its cells train or use; None if they have none."""
        if self.source is None or not self.strategy.needs.has_network:
            return None
        return learner_of(self.source.config, self.strategy.config)

    def config(self, labels: Labels, seed: int) -> Config:
        """Return the full plain config of one of its cells."""
        tuned = {"tuning": self.tuning.config} if self.tuning else {}
        return {
            "source": self.source and self.source.config,
            "strategy": self.strategy.config,
            "target": self.target.config,
            "labels": labels,
            "seed": seed,
            "training": self.training and self.training.config,
            **tuned,
        }


def architecture_name(architecture: Config) -> str:
    """Return the short name of an architecture: of its model, its folder, or its module."""
    own = (architecture.get("network") or {}).get("_imports_", "").rpartition(".")[2]
    named = architecture.get("name") or architecture.get("model") or own
    folder = str(architecture.get("folder") or "")
    place = folder.removeprefix(PACKAGE).partition("/")[0] if is_packaged(folder) else folder
    kind = str(architecture["_target_"]).rpartition(".")[0].rpartition(".")[2]
    return str(named or PurePath(place).name or kind or architecture["_target_"])


@dataclass
class Asked:
    """What was asked for, axis by axis."""

    sources: Sequence[Option]
    strategies: Sequence[Option]
    targets: Sequence[Option]
    trainings: Sequence[Option]
    labels: Sequence[Labels]
    seeds: Sequence[int]
    tunings: Sequence[Option | None] = (None,)
    """How settings are searched for inside a cell; None: each strategy runs at its defaults."""

    @property
    def cells(self) -> int:
        """How many cells the request expands to, the impossible ones included."""
        axes = (self.sources, self.strategies, self.targets, self.trainings)
        return math.prod(map(len, (*axes, self.labels, self.seeds)))


@dataclass(frozen=True)
class Skipped:
    """A combination that is impossible, and why."""

    label: str
    reason: str


@dataclass
class Plan:
    """The cells of a grid in the order to run them, baselines first."""

    cells: list[Cell]
    skipped: list[Skipped]
    wanted: set[str]
    """Identities of the cells that were asked for; the rest are baselines and reference arms."""
    impossible: frozenset[str] = frozenset()
    """Identities of cells that turned out to be impossible when their networks were built."""

    def without(self, impossible: Mapping[str, str]) -> Plan:
        """Return the plan without cells that turned out to be impossible.

        Args:
            impossible: the reasons, by identity of the cell.

        Raises:
            BadInputError: nothing that was asked for remains.
        """
        if not impossible:
            return self
        gone = [cell for cell in self.cells if cell.id in impossible]
        skipped = {Skipped(_combination(cell), impossible[cell.id]): None for cell in gone}
        wanted = self.wanted - set(impossible)
        if not wanted:
            reasons = "; ".join(dict.fromkeys(each.reason for each in skipped))
            raise BadInputError(f"nothing that was asked is possible: {reasons}")
        cells = left_of(self.cells, impossible)
        return Plan(cells, [*self.skipped, *skipped], wanted, self.impossible | set(impossible))

    @cached_property
    def id(self) -> str:
        """Identity of the grid: a digest of the set of its cells, the impossible ones included."""
        return digest(sorted({cell.id for cell in self.cells} | self.impossible))


def left_of(cells: Sequence[Cell], gone: Container[str]) -> list[Cell]:
    """Return the cells whose identities are not in `gone`, without further baselines in `gone`."""
    return [beside(cell, lambda name: name not in gone) for cell in cells if cell.id not in gone]


def beside(cell: Cell, is_there: Callable[[str], bool]) -> Cell:
    """Return a cell with only those further baselines whose identities are there."""
    if all(is_there(other.id) for other in cell.exploratory):
        return cell
    return replace(cell, exploratory=tuple(o for o in cell.exploratory if is_there(o.id)))


def _combination(cell: Cell) -> str:
    names = filter(None, (cell.names.source, cell.names.strategy, cell.names.target))
    return f"{' x '.join(names)}, labels={cell.labels}"


def in_order(cells: Mapping[str, Cell]) -> list[Cell]:
    """Return cells in the order to run them: place by place, each after its baseline.

    A place is a target with a label budget: its comparisons are complete, and can be judged, before
    the next place begins. Places come in the order of their first cells; inside a place cells
    are ordered by `depths`, then by seed.
    """
    places = {name: place_of(cell) for name, cell in cells.items()}
    number = {place: i for i, place in enumerate(dict.fromkeys(places.values()))}
    depth = depths(cells)
    keys = {name: (number[places[name]], depth[name], c.seed) for name, c in cells.items()}
    wanted = sorted(cells, key=keys.__getitem__)
    found: dict[str, Cell] = {}

    def add(name: str) -> None:
        below = cells[name].baseline
        if below is not None and below.id in cells and below.id not in found:
            add(below.id)
        found.setdefault(name, cells[name])

    for name in wanted:
        add(name)
    return list(found.values())


def place_of(cell: Cell) -> tuple[str, Labels]:
    """Return the place where a cell is compared with others: its target and label budget."""
    return cell.parts.target, cell.labels


def depths(cells: Mapping[str, Cell]) -> dict[str, int]:
    """Return the length of each cell's chain of baselines: 0 for a cell without a baseline."""
    found: dict[str, int] = {}

    def depth(cell: Cell) -> int:
        if cell.id not in found:
            below = cells.get(cell.baseline.id) if cell.baseline else None
            found[cell.id] = 0 if below is None else 1 + depth(below)
        return found[cell.id]

    return {name: depth(cell) for name, cell in cells.items()}


def less(name: str, key: str) -> str:
    """Return an option's display name without a key that has no effect."""
    value = r"(?:\[[^\[\]]*\]|[^,()\[\]])*"
    name = re.sub(rf"(?<=[(,]){key}={value},?", "", name)
    return name.replace(",)", ")").removesuffix("()")


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return how many names there are, and the first of them."""
    shown = ", ".join(names[:most])
    return f"{len(names)} ({shown}, ...)" if len(names) > most else f"{len(names)} ({shown})"
