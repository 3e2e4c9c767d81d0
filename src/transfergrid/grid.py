"""Which cells there are: expand what was asked, add baselines, leave out what cannot be.

Takes plain dicts and knows neither Hydra nor torch, so that it plans 100,000 cells in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

from transfergrid.errors import BadInputError
from transfergrid.factory import Config, build
from transfergrid.identity import (
    Labels,
    architecture_of,
    cell_id,
    config_digest,
    digest,
    source_part,
)
from transfergrid.strategies.needs import Baselines, Needs


@dataclass(frozen=True, eq=False)
class Option:
    """One choice for one axis: its display name and its complete config."""

    name: str
    config: Config

    @cached_property
    def digest(self) -> str:
        """Digest of the config in canonical form."""
        return config_digest(self.config)

    @cached_property
    def needs(self) -> Needs:
        """What a strategy needs."""
        return Needs(**self.config["about"]["needs"])

    @cached_property
    def baselines(self) -> Baselines:
        """What a strategy is compared with."""
        return Baselines(**self.config["about"]["baselines"])


@dataclass(frozen=True)
class Reference:
    """A cell that another is compared with: the strategy's name and the cell's identity."""

    name: str
    id: str


@dataclass(eq=False)
class Cell:
    """One (source, strategy, target, labels, seed, training)."""

    source: Option | None
    strategy: Option
    target: Option
    training: Option | None
    labels: Labels
    seed: int
    parts: dict[str, str | None]
    id: str
    baseline: Reference | None = None
    exploratory: list[Reference] = field(default_factory=list)

    @property
    def source_name(self) -> str | None:
        """The source's name; None where only its architecture is used."""
        needed = self.strategy.needs.source not in ("none", "architecture")
        return self.source.name if self.source and needed else None

    @property
    def label(self) -> str:
        """The cell in words."""
        words = [self.source_name] if self.source_name else []
        words += [self.strategy.name, self.target.name]
        return f"{' x '.join(words)}, labels={self.labels}, seed={self.seed}"

    def to_json(self) -> dict[str, Any]:
        """Return all that a worker needs, as plain values."""
        architecture = self.architecture
        return {
            "id": self.id,
            "parts": self.parts,
            "names": {
                "source": self.source_name,
                "strategy": self.strategy.name,
                "target": self.target.name,
                "architecture": architecture and architecture_name(architecture),
            },
            "source": self.source and self.source.config,
            "strategy": self.strategy.config,
            "target": self.target.config,
            "labels": self.labels,
            "seed": self.seed,
            "training": self.training and self.training.config,
            "baseline": self.baseline and vars(self.baseline),
            "exploratory": [vars(reference) for reference in self.exploratory],
        }

    @property
    def architecture(self) -> Config | None:
        """The network that this cell trains or uses; None if it has none."""
        if self.source is None:
            return None
        student: Config | None = self.strategy.config.get("student")
        return student or architecture_of(self.source.config)


def architecture_name(architecture: Config) -> str:
    """Return the short name of an architecture."""
    return str(architecture.get("name") or architecture.get("model") or architecture["_target_"])


@dataclass
class Asked:
    """What was asked for, axis by axis."""

    sources: Sequence[Option]
    strategies: Sequence[Option]
    targets: Sequence[Option]
    trainings: Sequence[Option]
    labels: Sequence[Labels]
    seeds: Sequence[int]


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

    @cached_property
    def id(self) -> str:
        """Identity of the grid: of the set of its cells."""
        return digest(sorted(cell.id for cell in self.cells))

    @cached_property
    def waves(self) -> list[set[str]]:
        """Identities in the order to run them: a cell's baseline is always in an earlier wave."""
        depths = _depths({cell.id: cell for cell in self.cells})
        return [
            {name for name, depth in depths.items() if depth == wave}
            for wave in range(max(depths.values(), default=-1) + 1)
        ]


Library = Callable[[str], Option]


class Planner:
    """Turns what was asked into a plan.

    Args:
        library: gives the shipped (or user's) strategy of a name, without any override.
        references: names of the arms that need no source, added to every target and label budget.
    """

    def __init__(self, library: Library, references: Sequence[str] = ()) -> None:
        self.library, self.references = library, references
        self._classes: dict[str, tuple[str, ...]] = {}
        self._strategies: dict[str, Option] = {}
        self._combined: dict[
            tuple[Option | None, Option, Option, Option | None],
            tuple[Option | None, Option | None, dict[str, str | None]],
        ] = {}
        self._sources: dict[tuple[Option, Needs], tuple[Option, str]] = {}
        self._reasons: dict[tuple[Option | None, Option, Option, bool], str | None] = {}
        self._students: dict[tuple[Option, Option], Option] = {}
        self.cells: dict[str, Cell] = {}
        self.skipped: dict[Skipped, None] = {}
        self.wanted: set[str] = set()

    def plan(self, asked: Asked) -> Plan:
        """Expand, complete, deduplicate and order.

        Raises:
            BadInputError: nothing that was asked remains possible; all reasons are given.
        """
        for target, labels, training, strategy, seed, source in _product(asked):
            cell = self._ask(source, strategy, target, training, labels, seed)
            if cell is not None:
                self.wanted.add(cell.id)
        if not self.wanted:
            reasons = "; ".join(dict.fromkeys(s.reason for s in self.skipped))
            raise BadInputError(f"nothing that was asked is possible: {reasons}")
        self._add_references(asked)
        depths = _depths(self.cells)
        order = sorted(self.cells.values(), key=lambda cell: (depths[cell.id], cell.seed))
        for cell in order:
            cell.exploratory = [r for r in cell.exploratory if r.id in self.cells]
        return Plan(order, list(self.skipped), self.wanted)

    def _ask(
        self,
        source: Option | None,
        strategy: Option,
        target: Option,
        training: Option,
        labels: Labels,
        seed: int,
    ) -> Cell | None:
        reason = self._impossible(source, strategy, target, labels)
        if reason is not None:
            name = f"{source.name} x {strategy.name}" if source else strategy.name
            self.skipped[Skipped(f"{name} x {target.name}, labels={labels}", reason)] = None
            return None
        cell = self.cell(source, strategy, target, training, labels, seed)
        if cell.id in self.cells:
            return self.cells[cell.id]
        self.cells[cell.id] = cell
        cell.baseline = self._baseline(cell, training)
        cell.exploratory = list(self._exploratory(cell, training))
        return cell

    def cell(
        self,
        source: Option | None,
        strategy: Option,
        target: Option,
        training: Option | None,
        labels: Labels,
        seed: int,
    ) -> Cell:
        """Return the cell of these parts, less what cannot matter to it."""
        reduced, training, parts = self._parts(source, strategy, target, training)
        if strategy.needs.target_labels == "unused":
            labels = 0
        identity = cell_id(parts, labels, seed)
        return Cell(reduced, strategy, target, training, labels, seed, parts, identity)

    def _parts(
        self, source: Option | None, strategy: Option, target: Option, training: Option | None
    ) -> tuple[Option | None, Option | None, dict[str, str | None]]:
        """Return source and training as far as they matter to the strategy, and all digests."""
        key = (source, strategy, target, training)
        if key not in self._combined:
            reduced, part = self._reduce(source, strategy.needs)
            if not strategy.needs.training:
                training = None
            parts = {
                "source": part,
                "strategy": strategy.digest,
                "target": target.digest,
                "training": training.digest if training else None,
            }
            self._combined[key] = reduced, training, parts
        return self._combined[key]

    def _reduce(self, source: Option | None, needs: Needs) -> tuple[Option | None, str | None]:
        """Return the source as far as it matters to these needs, and the digest of that."""
        if source is None or needs.source == "none":
            return None, None
        key = (source, needs)
        if key not in self._sources:
            part = digest(source_part(source.config, needs))
            if needs.source == "architecture":
                architecture = architecture_of(source.config)
                source = Option(architecture_name(architecture), {"architecture": architecture})
            self._sources[key] = (source, part)
        return self._sources[key]

    # What cannot be ----------------------------------------------------------------------------

    def _impossible(
        self, source: Option | None, strategy: Option, target: Option, labels: Labels
    ) -> str | None:
        key = (source, strategy, target, labels == 0)
        if key not in self._reasons:
            self._reasons[key] = self._reason(source, strategy, target, labels)
        return self._reasons[key]

    def _reason(
        self, source: Option | None, strategy: Option, target: Option, labels: Labels
    ) -> str | None:
        needs = strategy.needs
        if needs.target_labels == "required" and labels == 0:
            return f"{strategy.name} needs target labels, and labels=0 gives none"
        if needs.source == "none":
            return None
        if source is None:
            return f"{strategy.name} needs a source"
        if not needs.source_domain:
            return None
        if source.config.get("domain") is None:
            return (
                f"{strategy.name} needs a labelled source domain, and source {source.name} "
                "brings none"
            )
        if needs.same_classes:
            return self._different_classes(source, strategy, target)
        return None

    def _different_classes(self, source: Option, strategy: Option, target: Option) -> str | None:
        ours, theirs = self.classes(target.config), self.classes(source.config["domain"])
        if set(ours) == set(theirs):
            return None
        return (
            f"{strategy.name} needs the same classes in source and target, and {source.name} has "
            f"{_listed(theirs)}, {target.name} has {_listed(ours)}"
        )

    def classes(self, domain: Config) -> tuple[str, ...]:
        """Return the class names of a domain; check the domain when it is first met.

        Raises:
            BadInputError: the domain cannot be used as it is.
        """
        key = digest(domain)
        if key not in self._classes:
            made = build(domain)
            made.check()
            self._classes[key] = tuple(made.classes)
        return self._classes[key]

    # What is compared with what ----------------------------------------------------------------

    def _baseline(self, cell: Cell, training: Option) -> Reference | None:
        names = cell.strategy.baselines
        name = names.unlabelled if cell.labels == 0 else names.labelled
        if name is None:
            return None
        made = self._ask(*self._comparison(cell, name), training, cell.labels, cell.seed)
        return Reference(name, made.id) if made else None

    def _exploratory(self, cell: Cell, training: Option) -> Iterator[Reference]:
        for name in cell.strategy.baselines.exploratory:
            source, strategy, target = self._comparison(cell, name)
            if self._impossible(source, strategy, target, cell.labels) is None:
                other = self.cell(source, strategy, target, training, cell.labels, cell.seed)
                yield Reference(name, other.id)

    def _comparison(self, cell: Cell, name: str) -> tuple[Option | None, Option, Option]:
        if name not in self._strategies:
            self._strategies[name] = self.library(name)
        return self._as_student(cell, self._strategies[name]), self._strategies[name], cell.target

    def _as_student(self, cell: Cell, strategy: Option) -> Option | None:
        """Return the cell's source; with the student's architecture where that is compared."""
        student = cell.strategy.config.get("student")
        if student is None or cell.source is None or strategy.needs.source != "architecture":
            return cell.source
        key = (cell.source, cell.strategy)
        if key not in self._students:
            self._students[key] = Option(architecture_name(student), {"architecture": student})
        return self._students[key]

    def _add_references(self, asked: Asked) -> None:
        budgets = {cell.labels for cell in self.cells.values() if cell.labels != 0}
        for name in self.references:
            strategy = self.library(name)
            axes = product(asked.targets, sorted(budgets, key=str), asked.seeds)
            for target, labels, seed in axes:
                self._ask(None, strategy, target, asked.trainings[0], labels, seed)


def identity_of(plain: Mapping[str, Any]) -> tuple[dict[str, str | None], str]:
    """Return the part digests and the identity of a cell given by its plain parts."""
    options = {
        kind: Option("", plain[kind]) if plain[kind] is not None else None
        for kind in ("source", "strategy", "target", "training")
    }
    strategy, target = options["strategy"], options["target"]
    assert strategy is not None
    assert target is not None
    planner = Planner(lambda name: strategy)
    cell = planner.cell(
        options["source"], strategy, target, options["training"], plain["labels"], plain["seed"]
    )
    return cell.parts, cell.id


def _depths(cells: Mapping[str, Cell]) -> dict[str, int]:
    """Return for each cell how many comparisons stand below it: 0 for one without a baseline."""

    def depth(cell: Cell) -> int:
        below = cells.get(cell.baseline.id) if cell.baseline else None
        return 0 if below is None else 1 + depth(below)

    return {name: depth(cell) for name, cell in cells.items()}


def _product(asked: Asked) -> Iterable[tuple[Option, Labels, Option, Option, int, Option]]:
    """Sources vary fastest: cells side by side then seldom wait for the same source's training."""
    return product(
        asked.targets, asked.labels, asked.trainings, asked.strategies, asked.seeds, asked.sources
    )


def _listed(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return f"{len(names)} ({shown}, ...)" if len(names) > most else f"{len(names)} ({shown})"
