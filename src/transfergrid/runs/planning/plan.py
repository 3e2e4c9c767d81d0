"""What a plan is made of: options, arms, cells in their order. Plain values, no Hydra, no torch."""

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
    """One choice for one axis: its display name and its complete config.

    `typed` are the keys inside it that somebody set, such as "lr_factor" or "teacher.lr_factor";
    `usual` are the values of those that nobody set, by the same keys, where a grid has its own.
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
        """What a strategy is compared with."""
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
    """What all arms of a comparison share."""

    training: Option
    tuning: Option | None = None
    """How settings are looked for inside a cell; None for each strategy's defaults."""


@dataclass(frozen=True, eq=False)
class Arm:
    """What cells that differ in labels and seed alone have in common, less what cannot matter."""

    source: Option | None
    strategy: Option
    target: Option
    training: Option | None
    parts: Parts
    tuning: Option | None = None

    @cached_property
    def names(self) -> Names:
        """What tables call its parts; no source where only its architecture is used."""
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
    """Return the short name of an architecture: of the model, of its folder, or of its kind."""
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
    """How settings are looked for inside a cell; None for each strategy's defaults."""

    @property
    def cells(self) -> int:
        """How many cells that is, those that cannot be among them."""
        axes = (self.sources, self.strategies, self.targets, self.trainings)
        return math.prod(map(len, (*axes, self.labels, self.seeds)))


@dataclass(frozen=True)
class Skipped:
    """A combination that cannot be, and why."""

    label: str
    reason: str


@dataclass
class Plan:
    """The cells of a grid in the order to run them, baselines first."""

    cells: list[Cell]
    skipped: list[Skipped]
    wanted: set[str]
    """Identities that were asked for, the rest are baselines and reference arms."""
    impossible: frozenset[str] = frozenset()
    """Identities of those that turned out to be impossible, once their networks were built."""

    def without(self, impossible: Mapping[str, str]) -> Plan:
        """Return the plan without cells that turned out to be impossible.

        Args:
            impossible: why they are, by identity.

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
        """Identity of the grid: of the set of its cells, the impossible ones among them."""
        return digest(sorted({cell.id for cell in self.cells} | self.impossible))


def left_of(cells: Sequence[Cell], gone: Container[str]) -> list[Cell]:
    """Return cells without some, by identity, which are compared with none of these further on."""
    return [beside(cell, lambda name: name not in gone) for cell in cells if cell.id not in gone]


def beside(cell: Cell, is_there: Callable[[str], bool]) -> Cell:
    """Return a cell with those of its further baselines that are there, by their identities."""
    if all(is_there(other.id) for other in cell.exploratory):
        return cell
    return replace(cell, exploratory=tuple(o for o in cell.exploratory if is_there(o.id)))


def _combination(cell: Cell) -> str:
    names = filter(None, (cell.names.source, cell.names.strategy, cell.names.target))
    return f"{' x '.join(names)}, labels={cell.labels}"


def in_order(cells: Mapping[str, Cell]) -> list[Cell]:
    """Return cells as they are to be run: place by place, baselines before what is compared.

    A place is a target with a label budget. What is compared there is through, and can be judged,
    while other places have yet to begin. Places stand in the order of their first cells.
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
    """Return where a cell is compared with others: on which target, at which label budget."""
    return cell.parts.target, cell.labels


def depths(cells: Mapping[str, Cell]) -> dict[str, int]:
    """Return for each cell how many comparisons stand below it: 0 for one without a baseline."""
    found: dict[str, int] = {}

    def depth(cell: Cell) -> int:
        if cell.id not in found:
            below = cells.get(cell.baseline.id) if cell.baseline else None
            found[cell.id] = 0 if below is None else 1 + depth(below)
        return found[cell.id]

    return {name: depth(cell) for name, cell in cells.items()}


def less(name: str, key: str) -> str:
    """Return what tables call an option, without a key that turned out to say nothing."""
    value = r"(?:\[[^\[\]]*\]|[^,()\[\]])*"
    name = re.sub(rf"(?<=[(,]){key}={value},?", "", name)
    return name.replace(",)", ")").removesuffix("()")


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return how many names there are, and the first of them."""
    shown = ", ".join(names[:most])
    return f"{len(names)} ({shown}, ...)" if len(names) > most else f"{len(names)} ({shown})"
