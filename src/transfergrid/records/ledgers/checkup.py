"""Check a ledger: read every file, and report what is damaged, left over or unexpected."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfergrid.records.cell import Labels
from transfergrid.records.errors import BadInputError
from transfergrid.records.files import arrays, contents, folders
from transfergrid.records.identity import cell_id
from transfergrid.records.ledgers import index
from transfergrid.records.ledgers.again import marked
from transfergrid.records.ledgers.claims import Claims
from transfergrid.records.ledgers.ledger import Ledger, of_cell
from transfergrid.records.ledgers.packing import DOCUMENTS
from transfergrid.records.ledgers.signs import signs
from transfergrid.records.ledgers.store import DOCUMENT
from transfergrid.records.metrics import is_of_numbers
from transfergrid.records.record import Record, Status, from_json

SETTLED = 3600.0
"""Seconds without change after which a draft under `tmp` counts as abandoned."""
CLOSE = 1e-5
"""Tolerance between the recorded accuracy, a float32, and the accuracy of the predictions."""


@dataclass(frozen=True)
class Finding:
    """A problem that a check found."""

    path: Path
    what: str
    damaged: bool
    """True if results are unreadable or inconsistent; False if it is left over and removable."""


def check(
    ledger: Ledger, readers: Mapping[str, Callable[[bytes], Any]] | None = None
) -> Iterator[Finding]:
    """Yield a finding for everything that is damaged or left over; nothing is written.

    Args:
        ledger: the ledger; everything is read except weights and the cache.
        readers: for each kind of document a function that raises `BadInputError` for bad contents;
            documents of other kinds must be JSON objects.

    Raises:
        BadInputError: there is no ledger.
    """
    ledger.check_exists()
    found = ledger.listed()
    yield from _strangers(ledger, found)
    odd: list[Finding] = []
    rows = index.load(
        ledger.root / "index",
        found,
        ("record",),
        lambda path, why: odd.append(Finding(path, f"is no index: {why}", True)),
    )
    yield from odd
    for identity in sorted(found):
        yield from _cell(ledger, identity, rows.get(identity))
    yield from _attempts(ledger)
    yield from _documents(ledger, readers or {})
    yield from _left_over(ledger, found)


def _strangers(ledger: Ledger, found: Mapping[str, int]) -> Iterator[Finding]:
    """Yield a finding for each entry under `cells` that is no cell, or is in the wrong shelf."""
    for shelf in folders.listed(ledger.root / "cells"):
        place = ledger.root / "cells" / shelf
        for name in folders.listed(place):
            if name not in found or ledger.folder(name).parent.name != shelf:
                yield Finding(place / name, "no cell, and no reader looks at it", False)


def _cell(ledger: Ledger, identity: str, row: tuple[str] | None) -> Iterator[Finding]:
    folder = ledger.folder(identity)
    try:
        text = contents.read_bytes(folder / "record.json")
        record = of_cell(from_json(text), identity, Status.DONE)
    except OSError as error:
        yield Finding(folder, f"no record can be read: {error.strerror or error}", True)
        return
    except BadInputError as error:
        yield Finding(folder / "record.json", str(error), True)
        return
    if not has_its_id(record):
        told = "its id is not that of its parts, labels and seed"
        yield Finding(folder / "record.json", told, True)
    if row is not None and not _is_the_same(row[0], record):
        yield Finding(ledger.root / "index", f"tells otherwise of cell {identity}", True)
    yield from _predictions(record, folder / "predictions.npz")
    try:
        arrays.curves(folder / "curves.npz")
    except FileNotFoundError:
        pass
    except BadInputError as error:
        yield Finding(folder / "curves.npz", str(error), True)


def _is_the_same(text: str, record: Record) -> bool:
    """Return whether a row of the index holds this record.

    The row may come from a version whose records had fewer keys, so the values are compared too.
    """
    try:
        return text == record.to_json(indent=None) or from_json(text) == record
    except BadInputError:
        return False


def has_its_id(record: Record) -> bool:
    """Return whether a record's id matches its parts, label budget, seed and protocol.

    The id of a strategy without target labels is made with budget 0, whatever budget was requested.
    """
    budgets: tuple[Labels, ...] = (record.labels, 0)
    made = (cell_id(record.parts, each, record.seed, record.protocol) for each in budgets)
    return record.id in made


def _predictions(record: Record, path: Path) -> Iterator[Finding]:
    try:
        said = arrays.predictions(path)
    except FileNotFoundError:
        return
    except BadInputError as error:
        yield Finding(path, str(error), True)
        return
    n, width = said.probabilities.shape
    names = record.data.outputs if said.of_numbers else record.data.classes
    if record.data.test not in (0, n):
        yield Finding(path, f"of {n} examples; the record says {record.data.test}", True)
    elif said.of_numbers != is_of_numbers(record.metric.name):
        yield Finding(path, f"not of the kind that {record.metric.name} is of", True)
    elif names and width != len(names):
        yield Finding(path, f"of {width} classes or outputs; the record names {len(names)}", True)
    elif abs(_accuracy(record, said) - float(said.correct().mean())) > CLOSE:
        yield Finding(path, "its accuracy is not the recorded one", True)


def _accuracy(record: Record, said: arrays.Predictions) -> float:
    """Return the recorded accuracy, if it can be compared with that of the predictions.

    Otherwise return the accuracy of the predictions: without a recorded accuracy, for targets of
    numbers, and for pairs of domains, where the recorded accuracy may be defined differently.
    """
    told = (record.scores.test or {}).get("accuracy")
    if told is None or said.of_numbers or record.data.pair is not None:
        return float(said.correct().mean())
    return told


def _attempts(ledger: Ledger) -> Iterator[Finding]:
    for identity in ledger.tried():
        for number in ledger.attempts(identity):
            path = ledger.attempts_folder(identity) / str(number) / "record.json"
            try:
                of_cell(from_json(contents.read_bytes(path)), identity, Status.FAILED)
            except OSError as error:
                yield Finding(path, f"cannot be read: {error.strerror or error}", True)
            except BadInputError as error:
                yield Finding(path, str(error), True)


def _documents(ledger: Ledger, readers: Mapping[str, Callable[[bytes], Any]]) -> Iterator[Finding]:
    for kind in DOCUMENTS:
        for path in sorted((ledger.root / kind).glob("*.json")):
            try:
                readers.get(kind, DOCUMENT)(contents.read_bytes(path))
            except OSError as error:
                yield Finding(path, f"cannot be read: {error.strerror or error}", True)
            except BadInputError as error:
                yield Finding(path, str(error), True)


def _left_over(ledger: Ledger, found: Mapping[str, int]) -> Iterator[Finding]:
    """Yield findings for what killed processes left: drafts, claims, checkpoints of done cells."""
    for name in folders.listed(ledger.root / "tmp"):
        path = ledger.root / "tmp" / name
        if time.time() - path.lstat().st_mtime > SETTLED:
            yield Finding(path, "was being written when its process was killed", False)
    claims = Claims(ledger.root)
    for sign in signs(ledger.root):
        if not sign.lives:
            told = f"a claim of process {sign.process} on {sign.host or '?'}, which is gone"
            yield Finding(claims.newest().get(sign.cell, claims.folder), told, False)
    for name in folders.listed(ledger.root / folders.RUNNING):
        if name.partition(".")[0] in found.keys() - marked(ledger.root):
            path = ledger.root / folders.RUNNING / name
            yield Finding(path, "what a cell that is done would have gone on from", False)
