"""The progress of a grid, in words and as a table of workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from transfergrid.evidence.declared.under_way import Cause, UnderWay
from transfergrid.records.files.border import time_of
from transfergrid.records.ledgers.signs import Sign
from transfergrid.records.printing import one_line, roughly
from transfergrid.report.tables.columns import Column, Group, Line, Page, Table
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.wording.words import plural

SHOWN = 8
"""The number of digits shown of a cell's id."""
SILENT = 30.0
"""Seconds without heartbeat after which this is shown: three heartbeats were missed."""
MOST_GONE = 3
MOST_REASON = 300
"""The largest number of characters shown of a reason."""


def sheet(found: UnderWay, results: str, at: datetime) -> Sheet:
    """Return the progress as a sheet for all formats.

    Args:
        found: the progress of the grid.
        results: the folder as typed.
        at: the time of the look.
    """
    return Sheet(
        lambda medium: _page(found, results, at),
        lambda: [_worker(sign, at) for sign in found.running],
        lambda: _json(found, at),
        keys=("host", "process", "worker", "id", "cell", "doing", "step", "steps", "seconds"),
    )


def _page(found: UnderWay, results: str, at: datetime) -> Page:
    columns: list[Column[Sign]] = [
        Column("worker", _name),
        Column("cell", lambda sign: one_line(_label(sign)), wraps=True),
        Column("doing", _doing, wraps=True),
        Column("since", lambda sign: _since(sign, at)),
    ]
    above = tuple(Line(line) for line in counts(found, results, at))
    table = Table(columns, [Group(found.running)] if found.running else [], above=above)
    below = [*_gone(found), *_failed(found, results), *_closing(found, results)]
    return Page([table], below=below)


def counts(found: UnderWay, results: str, at: datetime) -> list[str]:
    """Return lines on how many cells are in each state, and the rate."""
    study = f"study {found.study}" if found.study else "a grid"
    study = study if found.grids == 1 else plural(found.grids, "grid")
    study = study if found.grids else "no grid, cells that were run alone"
    began = f", asked for {_ago(found.asked, at)}" if found.asked else ""
    lines = [one_line(f"{results}: {study}{began}")]
    stale = f" ({found.stale} of them stale)" if found.stale else ""
    waiting = "waiting" if found.running else "left"
    told = [
        f"{found.done} of {plural(found.cells, 'cell')} done{stale}",
        *([f"{len(found.running)} running"] if found.running else []),
        *([f"{found.waiting} {waiting}"] if found.waiting else []),
        *([f"{found.failed} failed"] if found.failed else []),
        *([f"{plural(found.left_out, 'combination')} left out"] if found.left_out else []),
    ]
    lines.append("; ".join(told))
    if found.running and found.rate is not None:
        left = f"; {roughly(found.to_go)} to go" if found.to_go is not None else ""
        lines.append(f"{found.rate:,.0f} cells an hour{left}")
    return lines


def _ago(time: datetime, at: datetime) -> str:
    seconds = (at - time).total_seconds()
    return "just now" if seconds < 15 else f"{roughly(seconds).removeprefix('about ')} ago"


def _name(sign: Sign) -> str:
    number = sign.told.get("worker")
    return one_line(sign.host if number is None else f"{sign.host}:{number}")


def _label(sign: Sign) -> str:
    return sign.told.get("label") or sign.cell[:SHOWN]


def _doing(sign: Sign) -> str:
    step, steps = sign.told.get("step"), sign.told.get("steps")
    words = [sign.told.get("doing", "")]
    words += [f"step {step} of {steps}"] if step is not None else []
    words += [f"no sign of life for {sign.silence:.0f} s"] if sign.silence > SILENT else []
    return one_line(", ".join(filter(None, words)))


def _since(sign: Sign, at: datetime) -> str:
    seconds = _seconds(sign, at)
    return "" if seconds is None else roughly(seconds).removeprefix("about ")


def _seconds(sign: Sign, at: datetime) -> float | None:
    since = sign.told.get("since")
    return None if since is None else max(0.0, (at - time_of(since)).total_seconds())


def _gone(found: UnderWay) -> list[str]:
    """Return a line on dead processes and the cells they held."""
    if not found.gone:
        return []
    silence = min(sign.silence for sign in found.gone)
    who = {f"process {sign.process} on {sign.host}" for sign in found.gone}
    told = one_line(" and ".join(sorted(who)[:MOST_GONE]))
    cells = ", ".join(sign.cell[:SHOWN] for sign in found.gone[:MOST_GONE])
    more = ", ..." if len(found.gone) > MOST_GONE else ""
    verb = "is" if len(who) == 1 else "are"
    return [
        f"{told} {verb} gone, {roughly(silence)} without a sign of life, in the midst of "
        f"{plural(len(found.gone), 'cell')} ({cells}{more})"
    ]


def _failed(found: UnderWay, results: str) -> list[str]:
    """Return lines on the causes of failures, with an example each."""
    if not found.causes:
        return []
    lines = [f"{plural(found.failed, 'cell')} failed:"]
    lines += [f"  {_cause(cause)}" for cause in found.causes]
    if found.failed_anew:
        count, one = len(found.failed_anew), len(found.failed_anew) == 1
        told = "1 of them was" if one else f"{count:,} of them were"
        records = "its earlier record counts" if one else "their earlier records count"
        lines.append(f"{told} run anew, and {records}.")
    verb = f"transfergrid status{_where(results)} --log {found.causes[0].cells[0][:SHOWN]}"
    return [*lines, f"{verb} shows the end of its log."]


def _cause(cause: Cause) -> str:
    reason = one_line(cause.reason)[:MOST_REASON]
    head = f"{len(cause.cells)} × {cause.what}: {cause.cells[0][:SHOWN]}, {cause.example}"
    return f"{head}: {reason.removeprefix(f'{cause.what}: ')}"


def _closing(found: UnderWay, results: str) -> list[str]:
    """Return lines on what to do next, if nothing is running."""
    if found.running:
        return []
    lines = []
    if found.waiting:
        lines.append("Nobody is at work here: the same command goes on.")
    elif found.last is not None and found.asked is not None:
        took = (found.last - found.asked).total_seconds()
        spent = f" in {roughly(took).removeprefix('about ')}" if took > 0 else ""
        lines.append(f"The grid is through{spent}.")
    if found.failed and not found.waiting:
        lines.append("The same command tries what failed again.")
    if found.stale:
        lines.append("The same command with rerun=stale runs what is stale anew.")
    if found.done:
        lines.append(f"transfergrid verdicts{_where(results)} shows what came of it.")
    if found.others:
        lines.append(f"{plural(found.others, 'other grid')} in this folder: --all counts them too.")
    return lines


def _where(results: str) -> str:
    return "" if results == "results" else f" {one_line(results)}"


def _worker(sign: Sign, at: datetime) -> dict[str, Any]:
    return {
        "host": sign.host,
        "process": sign.process,
        "worker": sign.told.get("worker"),
        "id": sign.cell,
        "cell": sign.told.get("label"),
        "doing": sign.told.get("doing") or None,
        "step": sign.told.get("step"),
        "steps": sign.told.get("steps"),
        "seconds": _seconds(sign, at),
        "silent_seconds": sign.silence,
    }


def _json(found: UnderWay, at: datetime) -> dict[str, Any]:
    return {
        "study": found.study,
        "asked": found.asked and found.asked.isoformat(),
        "is_running": bool(found.running),
        "cells": {
            "all": found.cells,
            "done": found.done,
            "running": len(found.running),
            "waiting": found.waiting,
            "failed": found.failed,
            "stale": found.stale,
            "left_out": found.left_out,
        },
        "cells_an_hour": found.rate,
        "seconds_to_go": found.to_go,
        "last_done": found.last and found.last.isoformat(),
        "workers": [_worker(sign, at) for sign in found.running],
        "gone": [_worker(sign, at) for sign in found.gone],
        "failures": [
            {
                "cause": cause.what,
                "cells": list(cause.cells),
                "example": cause.cells[0],
                "reason": cause.reason,
            }
            for cause in found.causes
        ],
        "failed_anew": list(found.failed_anew),
        "other_grids": found.others,
    }


def log_lines(text: str, most: int) -> Sequence[str]:
    """Return the last lines of a log."""
    return text.rstrip().splitlines()[-most:]
