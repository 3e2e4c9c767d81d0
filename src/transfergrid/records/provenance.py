"""Provenance of a cell: time, package versions, commit, machine and the strategy's code."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Set
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from transfergrid.records.cell import Cell
from transfergrid.records.code import code_fingerprint, known_as
from transfergrid.records.record import Record, Status

PACKAGES = ("transfergrid", "torch", "torchvision", "pytorch-lightning", "timm", "numpy")


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that can change scores."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str | None:
    """Return this program's commit, with "+" if tracked files differ; None outside a checkout."""
    here = Path(__file__).parent
    if _git(here, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    head = _git(here, "rev-parse", "--short=12", "HEAD")
    changed = _git(here, "status", "--porcelain", "--untracked-files=no")
    return f"{head}+" if head and changed else head


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def stale_among(cells: Iterable[tuple[str, str, str | None]]) -> set[str]:
    """Return the identities of stale cells: the code of their strategy has changed since.

    Args:
        cells: for each done cell its identity, the recorded fingerprint of the strategy's code, and
            the dotted path of the strategy's class, or None. Cells whose code cannot be found now
            do not count as stale.
    """
    now: dict[str, Set[str]] = {}
    found = set()
    for identity, code, kind in cells:
        if kind is not None:
            known = now[kind] if kind in now else now.setdefault(kind, known_as(kind))
            if known and code not in known:
                found.add(identity)
    return found


@cache
def processor() -> str:
    """Return the model name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def now() -> str:
    """Return the current time in UTC, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def identified(cell: Cell, status: Status, **results: Any) -> Record:
    """Return a record of a cell, with its provenance as of now and these results."""
    return Record(
        **{field.name: getattr(cell, field.name) for field in fields(Cell)},
        status=status,
        versions=versions(),
        commit=commit(),
        code=code_fingerprint(cell.config["strategy"]["_target_"]),
        finished=now(),
        **results,
    )
