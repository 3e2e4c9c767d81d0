"""The verb `cache`: show or clear cached features and images, and their size on disk."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.ledgers.cached import FOLDER, Kept, Store
from transfergrid.records.printing import say
from transfergrid.report.running.kept import size
from transfergrid.report.tables.columns import Align, Column, Group, Medium, Page, Table
from transfergrid.report.tables.sheet import Sheet, show
from transfergrid.verbs.parser import Parser

DOES = ("status", "clear")
MOST = 40
"""The largest number of characters shown of a network's name."""


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid cache status|clear [RESULTS] [--format FORMAT]`.

    Raises:
        BadInputError: there is no such folder.
    """
    parser = Parser(
        prog="transfergrid cache",
        description="Show, or remove, what frozen layers made of examples, and images as they were "
        "prepared. It is computed again when it is needed; no result is lost.",
    )
    parser.add_argument("what", nargs="?", default=DOES[0], help=" or ".join(DOES))
    parser.add_argument("results", nargs="?", default="results", help="the ledger's folder")
    parser.add_format()
    chosen = parser.parse_args(arguments)
    check_known("thing to do with a cache", chosen.what, DOES)
    root = Path(chosen.results)
    if not root.is_dir():
        raise BadInputError(f"no folder of results: {chosen.results}")
    store = Store(root / FOLDER, 0)
    if chosen.what == "clear":
        say(f"{size(store.clear())} freed in {root / FOLDER}")
        return 0
    show(_sheet(store), chosen.format)
    return 0


def _sheet(store: Store) -> Sheet:
    entries = store.entries()[::-1]
    columns: list[Column[Kept]] = [
        Column("network", lambda kept: _network(kept)[:MOST], wraps=True),
        Column("blocks", lambda kept: str(kept.about.get("blocks", "")), Align.RIGHT),
        Column("data", _data),
        Column("view", _view),
        Column("examples", lambda kept: str(kept.rows), Align.RIGHT),
        Column("size", lambda kept: size(kept.bytes), Align.RIGHT),
        Column("used", lambda kept: _used(kept)[:10]),
    ]
    whole = sum(kept.bytes for kept in entries)
    told = f"{size(whole)} in {store.root}" if entries else f"nothing is kept in {store.root}"

    def page(_: Medium) -> Page:
        return Page([Table(columns, [Group(entries)])] if entries else [], below=[told])

    return Sheet(page, lambda: [_row(kept) for kept in entries])


def _network(kept: Kept) -> str:
    return " ".join(str(kept.about.get("network") or kept.about.get("what", "?")).split())


def _data(kept: Kept) -> str:
    place = kept.about.get("data")
    told = place if isinstance(place, dict) else {}
    return f"{told.get('domain', '?')} {told.get('split', '')}".strip()


def _view(kept: Kept) -> str:
    view = kept.about.get("view") or kept.about.get("as", "?")
    return f"{view[0]} {view[1]}" if isinstance(view, list) and len(view) == 2 else str(view)


def _used(kept: Kept) -> str:
    return datetime.fromtimestamp(kept.used, UTC).isoformat(timespec="seconds")


def _row(kept: Kept) -> dict[str, Any]:
    return {
        "network": _network(kept),
        "weights": kept.about.get("weights"),
        "blocks": kept.about.get("blocks"),
        "data": _data(kept),
        "view": _view(kept),
        "examples": kept.rows,
        "bytes": kept.bytes,
        "used": _used(kept),
        "folder": str(kept.folder),
    }
