"""The verb `reproduce`: run a done cell again from its record and report any difference."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from transfergrid.records import trust
from transfergrid.records.cell import PROTOCOL, Cell
from transfergrid.records.errors import BadInputError, check_key
from transfergrid.records.files.fingerprints import at_home
from transfergrid.records.keeping import MODEL, has_model, put
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import say
from transfergrid.records.provenance import processor
from transfergrid.records.record import Record
from transfergrid.report.running.kept import say as say_wrapped
from transfergrid.report.tables.columns import TERMINAL
from transfergrid.report.tables.sheet import show
from transfergrid.runs.launching.worker import cell_in, reason_of, run
from transfergrid.verbs.comparing import Compared, compare, conclusion, sheet
from transfergrid.verbs.finding import find_cell
from transfergrid.verbs.parser import Parser

PARTS = ("source", "strategy", "target", "training", "tuning")


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid reproduce CELL [--keep] [--results DIR] [--set KEY=VALUE ...]`.

    Returns 0 if the cell reproduces, 1 if it does not; 2 means that it cannot be run.
    """
    parser = Parser(
        prog="transfergrid reproduce",
        description="Run a done cell again from its record and compare; nothing of it is replaced.",
    )
    parser.add_cell()
    parser.add_argument("--keep", action="store_true", help="keep its weights, if it is the same")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=PATH",
        help="where data or weights lie now",
    )
    parser.add_format()
    chosen = parser.parse_args(arguments)
    ledger = Ledger(chosen.results)
    record = ledger.read(find_cell(ledger, chosen.cell))
    cell = cell_again(record, chosen.set)
    title, how = f"{record.id} {record.label}", _of_protocol(record)
    if chosen.format == TERMINAL:  # printed first, as the run takes a while
        say_wrapped([title, *how])
        title, how = "", []
    with tempfile.TemporaryDirectory(prefix="transfergrid-") as folder:
        lines = _run_again(ledger, record, cell, Ledger(folder), chosen.keep)
        if not lines:
            return 1
        same = not any(line.is_different for line in lines)
        kept = [_kept(ledger, record, Ledger(folder), same)] if chosen.keep else []
    show(sheet(lines, title, [*how, conclusion(lines), *kept]), chosen.format)
    return 0 if same else 1


def _run_again(
    ledger: Ledger, record: Record, cell: Cell, temporary: Ledger, keep: bool
) -> list[Compared]:
    """Run a cell and return the comparison with its record; empty, with a message, if it fails."""
    try:
        again = run(cell, temporary, machine_of(record), keep="reproduced" if keep else None)
    except BadInputError:
        raise
    except Exception as error:  # it did not fail when it was recorded
        say(f"it was done, and now it fails: {reason_of(error)}")
        return []
    return compare(record, again, ledger, temporary)


def _of_protocol(record: Record) -> list[str]:
    """Return a note on what rerunning a cell of an earlier protocol can show."""
    if record.protocol == PROTOCOL:
        return []
    told = f"protocol {record.protocol}: run by today's program, not by that of then"
    return [f"{told}; a grid runs it anew"]


def cell_again(record: Record, changes: Sequence[str] = ()) -> Cell:
    """Return the cell of a record, ready to run.

    Args:
        record: the record of a done cell.
        changes: `key=value`, the new places of data or weights.

    Raises:
        BadInputError: a part is missing, or differs from what the cell was made from.
    """
    config: dict[str, Any] = record.config
    for change in changes:
        config = changed(config, change)
    told = {**asdict(record), "config": config}
    trust.check(config, f"cell {record.id}")
    try:
        cell = cell_in(told)
    except BadInputError as error:
        raise BadInputError(f"{error}; if it was moved, say where it is: {_hint(record)}") from None
    others = [part for part in PARTS if getattr(cell.parts, part) != getattr(record.parts, part)]
    if others:
        part = others[0]
        raise BadInputError(
            f"cell {record.id} cannot be run again: its {part} is not what it was "
            f"({_where(config[part])}); give the one that it was, as in {_hint(record, part)}"
        )
    if cell.id != record.id:
        raise BadInputError(f"cell {record.id} is not what its record holds: that is {cell.id}")
    return cell


def changed(config: dict[str, Any], change: str) -> dict[str, Any]:
    """Return a cell's config with one key changed, such as `target.root=photos`.

    Raises:
        BadInputError: there is no such key.
    """
    key, equals, value = change.partition("=")
    part, *path = key.split(".")
    if not equals or part not in PARTS or not path or config.get(part) is None:
        raise BadInputError(f"--set {change}: give a key inside a part, as in target.root=photos")
    check_key(path, config[part], part)
    return {**config, part: _with(config[part], path, value)}


def _with(node: dict[str, Any], path: Sequence[str], value: str) -> dict[str, Any]:
    first, *rest = path
    if rest:
        return {**node, first: _with(node[first], rest, value)}
    if first not in (node.get("about") or {}).get("paths", ()):
        raise BadInputError(f"--set {first}={value}: only what names a file or folder can be moved")
    return {**node, first: str(at_home(value).absolute())}


def _paths(node: Any, prefix: str) -> list[tuple[str, str]]:
    """Return the keys of a config that name files or folders, with their values."""
    if not isinstance(node, dict):
        return []
    names = (node.get("about") or {}).get("paths", ())
    own = [(f"{prefix}.{name}", node[name]) for name in names if node.get(name)]
    return own + [p for k, v in node.items() if k != "about" for p in _paths(v, f"{prefix}.{k}")]


def _where(node: Any) -> str:
    return ", ".join(str(value) for _, value in _paths(node, "")) or "see its record.json"


def _hint(record: Record, part: str | None = None) -> str:
    parts = (part,) if part else ("target", "source")
    found = [key for name in parts for key, _ in _paths(record.config.get(name), name)]
    return f"--set {found[0] if found else 'target.root'}=PATH"


def machine_of(record: Record) -> dict[str, Any]:
    """Return the arguments of the `Machine` most similar to the recorded one."""
    on_cpu = record.machine.device == processor()
    threads = max(1, record.machine.threads)
    return {"accelerator": "cpu" if on_cpu else "auto", "threads": threads}


def _kept(ledger: Ledger, record: Record, temporary: Ledger, same: bool) -> str:
    if not same:
        return "its weights were not kept: they are of another result"
    if not has_model(temporary, record.id):
        return "its weights cannot be kept: see the warning above"
    put(ledger, record.id, temporary.folder(record.id) / MODEL, "reproduced")
    return f"its weights are kept in {ledger.folder(record.id) / MODEL}"
