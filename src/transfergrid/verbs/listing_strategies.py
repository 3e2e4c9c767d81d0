"""`transfergrid list strategies`: each with its setting, what it transfers, and its badges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transfergrid.evidence.measured.selecting import Where
from transfergrid.report.tables.columns import Column, Group, Page, Table
from transfergrid.report.tables.sheet import Sheet

KEYS = (
    *("name", "strategy", "setting", "transfers", "badge", "proven"),
    *("target_statistics", "source", "target_labels", "unlabelled", "tasks"),
)
"""The keys for selecting strategies: each column by its title, and more."""
HELP = "'setting=transductive transfers=features proven=trajectory'"
SHORT = {"formula_exact": "formula", "trajectory_exact": "trajectory", "band_reproduced": "band"}
BELOW = (
    "proven: formula = its loss, weights or rates are the published values; trajectory = 20 steps "
    "end where an independent loop ends; band = a score found elsewhere is met.",
    "target_statistics: recorded = target batches move those of BatchNorm; normalised = "
    "unlabelled ones are normalised by their own, which are not kept; unseen = neither.",
    f"Choose with --where, as in {HELP}.",
)


@dataclass(frozen=True)
class Listed:
    """One strategy, as described in its file; see `records.needs`."""

    option: str
    help: str
    setting: str
    transfers: str
    target_statistics: str
    badges: tuple[str, ...]
    also_called: tuple[str, ...]
    variants: tuple[str, ...]
    source: str
    target_labels: str
    unlabelled: str
    tasks: tuple[str, ...]

    @classmethod
    def of(cls, option: str, told: str, about: dict[str, Any]) -> Listed:
        """Return the strategy of a file's `about`; missing keys have the base class's values."""
        needs = about.get("needs") or {}
        return cls(
            option=option,
            help=told,
            setting=str(about.get("setting", "inductive")),
            transfers=str(about.get("transfers", "parameters")),
            target_statistics=str(about.get("target_statistics", "recorded")),
            badges=tuple(about.get("badges") or ()),
            also_called=tuple(about.get("also_called") or ()),
            variants=tuple(about.get("variants") or ()),
            source=str(needs.get("source", "weights")),
            target_labels=str(needs.get("target_labels", "required")),
            unlabelled="true" if needs.get("unlabelled") else "false",
            tasks=tuple(needs.get("tasks") or ()),
        )

    @property
    def name(self) -> tuple[str, ...]:
        """Its own name and its aliases; any of them selects it."""
        return (self.option, *self.also_called, *self.variants)

    @property
    def strategy(self) -> tuple[str, ...]:
        """The same as `name`, under the title of its column."""
        return self.name

    @property
    def badge(self) -> tuple[str, ...]:
        """Its badges; any of them selects it."""
        return self.badges

    @property
    def proven(self) -> tuple[str, ...]:
        """Its badges, worded as in the table."""
        return tuple(SHORT[badge] for badge in self.badges)

    @property
    def does(self) -> str:
        """Its line of help, and how BatchNorm treats unlabelled inputs, if it uses any."""
        told = f"; BatchNorm: unlabelled inputs {self.target_statistics}"
        return self.help + told if self.unlabelled == "true" else self.help

    def row(self) -> dict[str, Any]:
        """Return it as a row for programs."""
        told = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        return {"kind": "strategies", "name": told.pop("option"), **told}


def strategies_sheet(found: Sequence[Listed], where: str | None) -> Sheet:
    """Return a sheet of the selected strategies.

    Raises:
        BadInputError: a condition cannot be parsed, or no strategy meets it.
    """
    chosen = Where.parse(where, KEYS).rows(found)
    columns: list[Column[Listed]] = [
        Column("strategy", lambda one: one.option),
        Column("setting", lambda one: one.setting),
        Column("transfers", lambda one: one.transfers),
        Column("proven", lambda one: " ".join(one.proven)),
        Column("help", lambda one: one.does, wraps=True, below="strategy"),
    ]
    tables = [Table(columns, [Group(chosen)])]
    return Sheet(lambda _: Page(tables, below=BELOW), lambda: [s.row() for s in chosen])


def read(files: Sequence[tuple[Path, str, Any]]) -> list[Listed]:
    """Return the strategies of files, given as (path, line of help, content)."""
    found = []
    for path, told, config in files:
        about = config.get("about") if isinstance(config, dict) else None
        found.append(Listed.of(path.stem, told, about if isinstance(about, dict) else {}))
    return found
