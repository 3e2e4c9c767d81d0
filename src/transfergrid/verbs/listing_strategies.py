"""`transfergrid list strategies`: each with its setting, what it transfers and what is proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transfergrid.evidence.measured.selecting import Where
from transfergrid.report.columns import Column, Group, Page, Table
from transfergrid.report.sheet import Sheet

KEYS = (
    *("name", "strategy", "setting", "transfers", "badge", "proven"),
    *("target_statistics", "source", "target_labels", "unlabelled", "tasks"),
)
"""What strategies are chosen by: each column by its title, and more."""
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
    """One strategy, as its file describes it; see `records.needs`."""

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
        """Return what a file's `about` says; what it leaves out is as the base class has it."""
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
        """Its own name and the other usual ones, by any of which it is found."""
        return (self.option, *self.also_called, *self.variants)

    @property
    def strategy(self) -> tuple[str, ...]:
        """As `name`: the title of its column."""
        return self.name

    @property
    def badge(self) -> tuple[str, ...]:
        """Its badges, by any of which it is found."""
        return self.badges

    @property
    def proven(self) -> tuple[str, ...]:
        """Its badges in the words of the table."""
        return tuple(SHORT[badge] for badge in self.badges)

    @property
    def does(self) -> str:
        """Its line of help, and what BatchNorm does with the unlabelled inputs that it takes."""
        told = f"; BatchNorm: unlabelled inputs {self.target_statistics}"
        return self.help + told if self.unlabelled == "true" else self.help

    def row(self) -> dict[str, Any]:
        """Return it for programs."""
        told = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        return {"kind": "strategies", "name": told.pop("option"), **told}


def strategies_sheet(found: Sequence[Listed], where: str | None) -> Sheet:
    """Return the strategies that are meant.

    Raises:
        BadInputError: a condition cannot be read, or none meets it.
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
    """Return strategies of files, each with its line of help and what it holds."""
    found = []
    for path, told, config in files:
        about = config.get("about") if isinstance(config, dict) else None
        found.append(Listed.of(path.stem, told, about if isinstance(about, dict) else {}))
    return found
