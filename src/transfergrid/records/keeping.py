"""Which cells keep their weights: none, all, or the best by validation score. Needs no torch.

A cell's weights are in `model/` inside its folder in the ledger, and appear together with it. With
`best` every cell that can be chosen first keeps its weights; the process that runs the grid removes
them once a better cell of the same group has weights. The order of cells is total, so if several
processes remove weights, those of the best cell still stay.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfergrid.records.cell import Cell, Labels
from transfergrid.records.files import contents
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import told_os
from transfergrid.records.record import Record
from transfergrid.records.training import VALIDATION_FROM

MODEL = "model"
WEIGHTS, FEATURES, KEPT = "model.safetensors", "features.json", "kept.json"
VECTOR = "vector.json"
"""File with the columns of a model of feature vectors, and their scaling."""

Group = tuple[str | None, Labels, str | None]
"""A group of comparable cells: digest of the target, label budget, digest of the training."""
Rank = tuple[float, float, str]
"""Validation score (negated if lower is better), negated validation loss, identity.

Higher is better, and no two cells have equal ranks.
"""


def model_folder(ledger: Ledger, identity: str) -> Path:
    """Return the folder of a cell's weights, whether or not it exists."""
    return ledger.folder(identity) / MODEL


def has_model(ledger: Ledger, identity: str) -> bool:
    """Return whether a cell has kept its weights."""
    return (model_folder(ledger, identity) / WEIGHTS).is_file()


def why_kept(ledger: Ledger, identity: str) -> str | None:
    """Return why a cell's weights are kept: `all`, `best` or `reproduced`; None without weights."""
    try:
        told: Any = contents.parsed(contents.read_bytes(model_folder(ledger, identity) / KEPT))
        return str(told["by"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def drop(ledger: Ledger, identity: str) -> None:
    """Remove a cell's weights; its record and other files stay."""
    gone = contextlib.suppress(FileNotFoundError)  # another process removed them first
    with _same_time(ledger.folder(identity)), ledger.draft() as draft, gone:
        model_folder(ledger, identity).rename(draft / MODEL)


def put(ledger: Ledger, identity: str, model: Path, why: str) -> None:
    """Add weights to a done cell, copied from a folder that `models.save_model` wrote.

    Weights that the cell had before are replaced.
    """
    final = model_folder(ledger, identity)
    with _same_time(final.parent), ledger.draft() as draft:
        shutil.copytree(model, draft / MODEL)
        (draft / MODEL / KEPT).write_text(json.dumps({"by": why}), encoding="utf-8")
        if final.exists():
            final.rename(draft / "before")
        (draft / MODEL).rename(final)


@contextmanager
def _same_time(folder: Path) -> Iterator[None]:
    """Restore a folder's modification time after the block, so that its index row stays valid."""
    before = folder.stat()
    yield
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


def rank_of(record: Record) -> Rank | None:
    """Return the rank of a cell by its validation score; None without a validation score."""
    scores = record.scores.validation or {}
    value, loss = scores.get(record.metric.name), scores.get("loss")
    if value is None:
        return None
    sign = 1.0 if record.metric.higher_is_better else -1.0
    return (sign * value, -loss if loss is not None else float("-inf"), record.id)


def can_be_chosen(cell: Cell) -> bool:
    """Return whether the cell has validation examples, as far as its label budget tells."""
    return can_validate(cell.labels)


def can_validate(labels: Labels) -> bool:
    """Return whether a label budget is large enough for a validation part."""
    return labels == "all" or labels >= VALIDATION_FROM


def groups_of(cells: Sequence[Cell]) -> dict[Group, list[str]]:
    """Return the groups of cells of which one keeps its weights, as lists of identities.

    A group has one target, one label budget and one training. A closed form, which has no training,
    is in the groups of all trainings.
    """
    trained: defaultdict[tuple[str | None, Labels], set[str | None]] = defaultdict(set)
    chosen = [cell for cell in cells if can_be_chosen(cell)]
    for cell in chosen:
        trained[cell.parts.target, cell.labels].add(cell.parts.training)
    groups: defaultdict[Group, list[str]] = defaultdict(list)
    for cell in chosen:
        target, own = cell.parts.target, cell.parts.training
        others = trained[target, cell.labels] - {None}
        for training in others if own is None and others else {own}:
            groups[target, cell.labels, training].append(cell.id)
    return dict(groups)


@dataclass
class Keeper:
    """Decides, as cells finish, which of them keep their weights.

    Args:
        ledger: the ledger of the cells.
        keep: `none`, `best` or `all`.
        cells: all cells of the grid, including those that were done before.
        best: the best rank so far in each group.
    """

    ledger: Ledger
    keep: str = "none"
    cells: Sequence[Cell] = ()
    best: dict[Group, Rank] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.groups = groups_of(self.cells) if self.keep == "best" else {}
        self._groups_with: defaultdict[str, list[Group]] = defaultdict(list)
        for group, members in self.groups.items():
            for identity in members:
                self._groups_with[identity].append(group)

    def order(self, cell: Cell) -> str | None:
        """Return why a worker must keep a cell's weights, `best` or `all`; None if it must not."""
        wanted = self.keep == "all" or (self.keep == "best" and cell.id in self._groups_with)
        return self.keep if wanted else None

    def begin(self, done: set[str]) -> None:
        """Take the weights into account that earlier runs of the grid have kept."""
        for identity in sorted(done & self._groups_with.keys()):
            self.ended(identity)

    def ended(self, identity: str) -> None:
        """Compare a done cell with the best of each of its groups; remove the weights that lose."""
        if identity not in self._groups_with or not has_model(self.ledger, identity):
            return
        record = self.ledger.find(identity)
        if record is None:
            return  # weights that cannot be compared stay
        rank = rank_of(record)
        beaten = {identity}
        for group in self._groups_with[identity] if rank is not None else ():
            assert rank is not None
            best = self.best.get(group, rank)
            beaten.add(best[-1])
            self.best[group] = max(best, rank)
        for name in beaten - {best[-1] for best in self.best.values()}:
            if why_kept(self.ledger, name) == "best":
                try:
                    drop(self.ledger, name)
                except OSError as error:
                    self.ledger.warn(f"weights of {name} were not removed: {told_os(error)}")

    def missed(self) -> list[Record]:
        """Return the best cells of groups whose best cell has no weights."""
        wanted = self._groups_with.keys()
        records = {r.id: r for r in self.ledger.records() if r.id in wanted} if wanted else {}
        ranks = {name: rank_of(record) for name, record in records.items()}
        found: dict[str, Record] = {}
        for members in self.groups.values():
            known = [rank for name in members if (rank := ranks.get(name)) is not None]
            name = max(known)[-1] if known else None
            if name is not None and not has_model(self.ledger, name):
                found[name] = records[name]
        return list(found.values())


def estimated(cells: Sequence[Cell], measured: Mapping[str, int]) -> dict[str, int]:
    """Return an estimate of the bytes that each cell stores, by identity.

    Args:
        cells: the cells of the grid.
        measured: measured bytes of a few cells, by identity; these cover each strategy and source.
    """
    alike: dict[tuple[Any, ...], int] = {}
    for cell in cells:
        for key in _kinds(cell) if cell.id in measured else ():
            alike[key] = max(alike.get(key, 0), measured[cell.id])
    return {c.id: next((alike[k] for k in _kinds(c) if k in alike), 0) for c in cells}


def _kinds(cell: Cell) -> list[tuple[Any, ...]]:
    """Return keys, the most reliable first: cells with an equal key should have equal sizes."""
    architecture = cell.names.architecture
    exact = (cell.parts.strategy, cell.parts.source, cell.parts.target)
    return [exact, exact[:2], ("architecture", architecture)] if architecture else [exact]
