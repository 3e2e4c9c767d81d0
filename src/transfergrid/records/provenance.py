"""When, where and with what a cell was run: versions, commit, machine, the strategy's code."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from transfergrid.records.cell import Cell
from transfergrid.records.record import Record, Status
from transfergrid.records.trust import source_file

PACKAGES = ("transfergrid", "torch", "torchvision", "pytorch-lightning", "timm", "numpy")


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that move scores."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str | None:
    """Return the program's own commit, "+" behind it if files differ; None outside a checkout."""
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


def code_fingerprint(target: str) -> str:
    """Return a fingerprint of the source file of a class by its dotted path.

    Nothing is imported to find it: `target` may be of a record that anyone wrote. "" if it has
    none, and for what is neither shipped nor allowed (see `trust`).
    """
    file = source_file(target)
    return _digest_of(file) if file is not None else ""


def stale_among(cells: Iterable[tuple[str, str, str | None]]) -> set[str]:
    """Return which of some done cells are stale: their strategy has other code now.

    Args:
        cells: identity, fingerprint of the code, and the class of the strategy, if it is known.
    """
    now: dict[str, str] = {}
    found = set()
    for identity, code, kind in cells:
        if kind is not None:
            current = now[kind] if kind in now else now.setdefault(kind, code_fingerprint(kind))
            if current not in ("", code):
                found.add(identity)
    return found


@cache
def _digest_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


@cache
def processor() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def identified(cell: Cell, status: Status, **results: Any) -> Record:
    """Return a record with what is known of a cell before it runs, and these results."""
    return Record(
        **{field.name: getattr(cell, field.name) for field in fields(Cell)},
        status=status,
        versions=versions(),
        commit=commit(),
        code=code_fingerprint(cell.config["strategy"]["_target_"]),
        finished=now(),
        **results,
    )
