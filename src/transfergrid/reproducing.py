"""The verb `reproduce`: run a done cell again from its record and report any difference."""

from __future__ import annotations

import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transfergrid.cell_config import CellConfig
from transfergrid.composing import check_key
from transfergrid.errors import BadInputError
from transfergrid.finding import find_cell, label_of
from transfergrid.keeping import MODEL, has_model, put
from transfergrid.ledger import Ledger
from transfergrid.provenance import processor
from transfergrid.record import Record
from transfergrid.verbs import Parser
from transfergrid.worker import cell_in, reason_of, run

TOLERANCE = 1e-6
"""Largest difference of scores and probabilities that is called the same."""
WIDTH = 80
PARTS = ("source", "strategy", "target", "training")


@dataclass(frozen=True)
class Compared:
    """One line of the comparison."""

    what: str
    recorded: str
    again: str
    verdict: str
    decides: bool = True
    """Whether a difference here makes the cell a different one; versions and machines do not."""

    @property
    def is_different(self) -> bool:
        """Return whether this line says that the cell did not repeat itself."""
        return self.decides and self.verdict == "differs"


def command(arguments: Sequence[str]) -> int:
    """Obey `transfergrid reproduce CELL [--keep] [--results DIR] [--set KEY=VALUE ...]`.

    Returns 0 if the cell repeats itself, 1 if it does not; 2 is for what cannot be run.
    """
    parser = Parser(
        prog="transfergrid reproduce",
        description="Run a done cell again from its record and compare; nothing of it is replaced.",
    )
    parser.add_argument("cell", help="its id, or the first four or more digits of it")
    parser.add_argument("--keep", action="store_true", help="keep its weights, if it is the same")
    parser.add_argument("--results", default="results", help="the ledger's folder")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=PATH",
        help="where data or weights lie now",
    )
    chosen = parser.parse_args(arguments)
    ledger = Ledger(chosen.results)
    record = ledger.read(find_cell(ledger, chosen.cell))
    cell = cell_again(record, chosen.set)
    title = f"{record.id} {label_of(record)}"
    print(textwrap.fill(title, WIDTH, subsequent_indent="    ", break_long_words=False), flush=True)
    with tempfile.TemporaryDirectory(prefix="transfergrid-") as folder:
        return _reproduce(ledger, record, cell, Ledger(folder), chosen.keep)


def _reproduce(
    ledger: Ledger, record: Record, cell: CellConfig, temporary: Ledger, keep: bool
) -> int:
    try:
        again = run(cell, temporary, machine_of(record), keep="reproduced" if keep else None)
    except BadInputError:
        raise
    except Exception as error:  # a cell that fails now did not fail when it was recorded
        print(f"it was done, and now it fails: {reason_of(error)}")
        return 1
    lines = compare(record, again, ledger, temporary)
    print(shown(lines))
    same = not any(line.is_different for line in lines)
    print(_conclusion(lines))
    if keep:
        print(_kept(ledger, record, temporary, same))
    return 0 if same else 1


def cell_again(record: Record, changes: Sequence[str] = ()) -> CellConfig:
    """Return the cell of a record, ready to be run.

    Args:
        record: of a done cell.
        changes: `key=value`, where data or weights lie now.

    Raises:
        BadInputError: a part is not there, or is not what the cell was made from.
    """
    config: dict[str, Any] = record.config
    for change in changes:
        config = changed(config, change)
    told = {**asdict(record), "config": config}
    try:
        cell = cell_in(told)
    except BadInputError as error:
        raise BadInputError(f"{error}; if it was moved, say where it is: {_hint(record)}") from None
    others = [part for part in PARTS if cell.parts[part] != getattr(record.parts, part)]
    if others:
        part = others[0]
        raise BadInputError(
            f"cell {record.id} cannot be run again: its {part} is not what it was "
            f"({_where(config[part])}); give the one that it was, as in {_hint(record, part)}"
        )
    if cell.id != record.id:
        raise BadInputError(f"cell {record.id} was run under another protocol than today's")
    return cell


def changed(config: dict[str, Any], change: str) -> dict[str, Any]:
    """Return a cell's config with one key at another value, such as `target.root=photos`.

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
    return {**node, first: str(Path(value).expanduser().absolute())}


def _paths(node: Any, prefix: str) -> list[tuple[str, str]]:
    """Return the keys of a config that name files and folders, with their values."""
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
    """Return the arguments of a `Machine` as near to the recorded one as there is here."""
    on_cpu = record.machine.device == processor()
    threads = max(1, record.machine.threads)
    return {"accelerator": "cpu" if on_cpu else "auto", "threads": threads}


def compare(record: Record, again: Record, old: Ledger, new: Ledger) -> list[Compared]:
    """Compare what came out, then where and with what it was run."""
    lines = [_scores(record, again, part) for part in ("test", "validation", "train")]
    lines.append(_values("chosen step", record.chosen, again.chosen))
    lines.append(_predictions(record, old, new))
    lines.append(_values("examples seen", _counts(record), _counts(again)))
    ours, theirs = ((r.source or {}).get("fingerprint") for r in (record, again))
    lines.append(_values("source weights", ours, theirs))
    return [*lines, *_circumstances(record, again)]


def _scores(record: Record, again: Record, part: str) -> Compared:
    ours, theirs = getattr(record.scores, part) or {}, getattr(again.scores, part) or {}
    name = record.metric.name
    pairs = [(ours.get(key), theirs.get(key)) for key in {*ours, *theirs}]
    verdict = _verdict([_distance(*pair) for pair in pairs])
    return Compared(f"{part} {name}", _number(ours.get(name)), _number(theirs.get(name)), verdict)


def _distance(one: float | None, other: float | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return abs(one - other)


def _verdict(distances: Sequence[float]) -> str:
    largest = max(distances, default=0.0)
    if largest == 0:
        return "equal"
    return f"within {TOLERANCE:g}" if largest <= TOLERANCE else "differs"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6f}"


def _values(what: str, ours: Any, theirs: Any) -> Compared:
    return Compared(what, _brief(ours), _brief(theirs), "equal" if ours == theirs else "differs")


def _brief(value: Any) -> str:
    if hasattr(value, "step"):
        return f"{value.step}, {value.by.replace('_', ' ')}"
    return "–" if value in (None, "") else str(value)


def _predictions(record: Record, old: Ledger, new: Ledger) -> Compared:
    what = "test predictions"
    try:
        ours = old.predictions(record.id)
    except BadInputError:
        return Compared(what, "not kept", "–", "unknown", False)
    theirs = new.predictions(record.id)
    shape = " x ".join(map(str, ours.probabilities.shape))
    if ours.probabilities.shape != theirs.probabilities.shape:
        return Compared(what, shape, " x ".join(map(str, theirs.probabilities.shape)), "differs")
    if not np.array_equal(ours.labels, theirs.labels):
        return Compared(what, shape, "other true labels", "differs")
    largest = float(np.abs(ours.probabilities - theirs.probabilities).max(initial=0.0))
    return Compared(what, shape, f"largest change {largest:.1e}", _verdict([largest]))


def _counts(record: Record) -> str:
    data = record.data
    counts = (data.train, data.validation, data.unlabelled, data.test)
    return "/".join(map(str, counts))


def _circumstances(record: Record, again: Record) -> list[Compared]:
    """Return a line for each of versions, commit, code and machine; equal ones as a single line."""
    pairs = {
        "data and configs": (record.parts, again.parts),
        "commit": (record.commit, again.commit),
        "strategy's code": (record.code, again.code),
        "device": (record.machine.device, again.machine.device),
        "threads": (record.machine.threads, again.machine.threads),
        "platform": (record.machine.platform, again.machine.platform),
    }
    for name in sorted({*record.versions, *again.versions}):
        pairs[name] = (record.versions.get(name), again.versions.get(name))
    other = [
        Compared(name, _brief(ours), _brief(theirs), "another", False)
        for name, (ours, theirs) in pairs.items()
        if ours != theirs
    ]
    if len(other) < len(pairs):
        equal = ", ".join(key for key, (ours, theirs) in pairs.items() if ours == theirs)
        other.append(Compared(equal, "", "", "equal", False))
    return other


def shown(lines: Sequence[Compared], width: int = WIDTH) -> str:
    """Return the comparison as a table of at most `width` characters, long words cut."""
    wide = [line for line in lines if not line.recorded]
    rows = [("", "recorded", "again", "")]
    rows += [(x.what, x.recorded, x.again, x.verdict) for x in lines if x.recorded]
    first, last = (max(len(row[i]) for row in rows) for i in (0, 3))
    middle = min(max(len(c) for r in rows for c in r[1:3]), (width - first - last - 6) // 2)
    told = [
        f"{a:<{first}}  {_cut(b, middle):<{middle}}  {_cut(c, middle):<{middle}}  {d}".rstrip()
        for a, b, c, d in rows
    ]
    for line in wide:
        told += textwrap.wrap(f"equal: {line.what}", width, subsequent_indent="    ")
    return "\n".join(told)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _conclusion(lines: Sequence[Compared]) -> str:
    different = [line.what for line in lines if line.is_different]
    if different:
        return f"different: {', '.join(different)}"
    near = any(line.decides and line.verdict.startswith("within") for line in lines)
    return f"the same within {TOLERANCE:g}" if near else "the same, exactly"


def _kept(ledger: Ledger, record: Record, temporary: Ledger, same: bool) -> str:
    if not same:
        return "its weights were not kept: they are of another result"
    if not has_model(temporary, record.id):
        return "its weights cannot be kept: see the warning above"
    put(ledger, record.id, temporary.folder(record.id) / MODEL, "reproduced")
    return f"its weights are kept in {ledger.folder(record.id) / MODEL}"
