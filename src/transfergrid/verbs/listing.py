"""The verb `list`: the available options, with one line of help each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from transfergrid.evidence.measured import selecting
from transfergrid.records.errors import BadInputError, as_line, check_known
from transfergrid.records.keeping import has_model
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.points import in_points, unit
from transfergrid.records.record import Record
from transfergrid.records.shipped import conf_dir
from transfergrid.report.tables.columns import Align, Column, Group, Medium, Page, Table
from transfergrid.report.tables.sheet import Sheet, show
from transfergrid.report.wording.words import number
from transfergrid.verbs import listing_strategies
from transfergrid.verbs.configs.other_names import LOADER
from transfergrid.verbs.configs.own_configs import check_folder
from transfergrid.verbs.finding import SHOWN
from transfergrid.verbs.parser import Parser

KINDS = {
    "strategies": "strategy",
    "sources": "source",
    "targets": "target",
    "training": "training",
    "tuning": "tuning",
    "studies": "study",
    "tracking": "tracking",
    "scores": "score",
}

STRATEGIES = "strategies"
"""The kind for which more is listed than a line of help."""
CELLS = "cells"
"""The kind that lists done cells instead of options."""


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid list KIND [--config-dir DIR] [--results DIR] [--where CONDITIONS] ...`."""
    parser = Parser(prog="transfergrid list", description="List what there is to choose from.")
    parser.add_argument("kind", nargs="?", help=", ".join((*KINDS, CELLS)))
    parser.add_argument("--config-dir", help="a folder with configs of your own")
    parser.add_argument("--results", default="results", help="where cells are kept")
    parser.add_argument(
        "--where",
        help=f"for {CELLS}: {selecting.HELP}; for {STRATEGIES}: {listing_strategies.HELP}",
    )
    parser.add_format()
    chosen = parser.parse_args(arguments)
    if chosen.kind == CELLS:
        where = selecting.Where.parse(chosen.where)
        shown = cells_sheet(Ledger(chosen.results), where)
    elif chosen.kind == STRATEGIES:
        found = listing_strategies.read(_files(KINDS[STRATEGIES], _folders(chosen.config_dir)))
        shown = listing_strategies.strategies_sheet(found, chosen.where)
    elif chosen.where is not None:
        raise BadInputError(f"--where chooses among {CELLS} or {STRATEGIES}, which are to be named")
    else:
        shown = _options_sheet(chosen.kind, chosen.config_dir)
    show(shown, chosen.format, unbroken=True)
    return 0


def _options_sheet(kind: str | None, config_dir: str | None) -> Sheet:
    """Return a sheet of the options of one kind, or of all, each with its line of help.

    Raises:
        BadInputError: there is no such kind, or no such folder.
    """
    if kind is not None:
        check_known("kind of thing to list", kind, (*KINDS, CELLS))
    folders = _folders(config_dir)
    kinds = list(KINDS) if kind is None else [kind]
    found = {name: sorted(options(KINDS[name], folders).items()) for name in kinds}
    columns: list[Column[tuple[str, str]]] = [
        Column("name", lambda option: option[0]),
        Column("help", lambda option: option[1], wraps=True),
    ]

    def page(_: Medium) -> Page:
        tables = [
            Table(columns, [Group(named)], title=name if kind is None else "")
            for name, named in found.items()
        ]
        return Page(tables, headed=False)

    def rows() -> list[dict[str, Any]]:
        return [
            {"kind": name, "name": option, "help": told}
            for name, named in found.items()
            for option, told in named
        ]

    return Sheet(page, rows, keys=("kind", "name", "help"))


def cells_sheet(ledger: Ledger, where: selecting.Where) -> Sheet:
    """Return a sheet of done cells: id, test score in points, whether weights are kept, label.

    Raises:
        BadInputError: no cell meets the conditions.
    """
    records = sorted(where.rows(ledger.records()), key=lambda record: record.label)

    def score(record: Record) -> str:
        shown = in_points(record.score, record.metric)
        return "–" if shown is None else number(shown, unit(record.metric))

    columns: list[Column[Record]] = [
        Column("id", lambda record: record.id[:SHOWN]),
        Column("score", score, Align.RIGHT),
        Column("weights", lambda record: "kept" if has_model(ledger, record.id) else ""),
        Column("cell", lambda record: record.label, wraps=True),
    ]
    if any(map(_pair, records)):
        columns.insert(3, Column("pair", _pair))

    def rows() -> list[dict[str, Any]]:
        return [_row(ledger, record) for record in records]

    return Sheet(lambda _: Page([Table(columns, [Group(records)])], headed=False), rows)


def _row(ledger: Ledger, record: Record) -> dict[str, Any]:
    """Return a cell as a row for programs; the score is in points if the metric is a share."""
    return {
        "id": record.id,
        **asdict(record.names),
        "labels": record.labels,
        "seed": record.seed,
        "metric": record.metric.name,
        "score": in_points(record.score, record.metric),
        "kept": has_model(ledger, record.id),
        "pair": _pair(record),
    }


def _pair(record: Record) -> str:
    """Return the special relation of source domain and target, such as "partial"."""
    return record.data.pair.told if record.data.pair is not None else ""


def _folders(config_dir: str | None) -> list[Path]:
    """Return the folders with options, the shipped ones first, then the user's own.

    Raises:
        BadInputError: there is no such folder.
    """
    if config_dir is None:
        return [conf_dir()]
    check_folder(Path(config_dir))
    return [conf_dir(), Path(config_dir)]


def options(group: str, folders: Sequence[Path]) -> dict[str, str]:
    """Return a group's options with their line of help; later folders take precedence."""
    return {path.stem: told for path, told, _ in _files(group, folders)}


def _files(group: str, folders: Sequence[Path]) -> list[tuple[Path, str, Any]]:
    """Return a group's files, sorted by name, each with its line of help and its content.

    Raises:
        BadInputError: a file is not valid YAML.
    """
    paths = {path.stem: path for folder in folders for path in (folder / group).glob("*.yaml")}
    return [_read(paths[name]) for name in sorted(paths)]


def _read(path: Path) -> tuple[Path, str, Any]:
    text = path.read_text()
    try:
        config = yaml.load(text, Loader=LOADER)
    except yaml.YAMLError as error:
        raise BadInputError(f"{path} is broken YAML: {as_line(error)}") from error
    told = _inside(config, "about", "help") or _inside(config, "hydra", "help", "header")
    first, *_ = [*text.splitlines(), ""]
    return path, str(told or (first.lstrip("# ") if first.startswith("#") else "")), config


def _inside(config: Any, *keys: str) -> Any:
    for key in keys:
        config = config.get(key) if isinstance(config, dict) else None
    return config
