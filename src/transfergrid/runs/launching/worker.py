"""What every worker process starts.

    python -m transfergrid.runs.launching.worker cell.json  one cell: prints its identity and score
    python -m transfergrid.runs.launching.worker -          one order a line: answers one line each,
                                                            and says what it is doing before that

    --allow MODULE    import what the cell names from this module too; may be repeated

The file holds an order or a record, such as results/attempts/<id>/1/record.json. An order holds
`cell` (as in a record, without results) and may hold `results` (the ledger's folder), `machine`
(arguments of `runs.machine.Machine`), `tracking` (config of a tracker) and `keep` (why the weights
are kept). With `beside`, cells that differ in their seed alone and are ordered next, these are
trained at once, if `stacked` says so. Or it holds `check`, a list of cells whose parts are built
and thrown away: the answer says what is wrong, and how many bytes each would keep. Or `prepare`,
what to import before it is needed: that is not answered.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from transfergrid.records import trust
from transfergrid.records.cell import PROTOCOL, Cell, cell_of
from transfergrid.records.errors import BadInputError, ImpossibleError, KilledError, as_line
from transfergrid.records.factory import Config, build
from transfergrid.records.identity import identity_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import complain, say
from transfergrid.records.process import orphans, stopping
from transfergrid.records.process.telling import listen, tell
from transfergrid.records.provenance import identified
from transfergrid.records.record import Record, Status
from transfergrid.runs.launching.seeds import Stacked
from transfergrid.runs.launching.worker_process import TELLS
from transfergrid.runs.memory import end_of_cell
from transfergrid.runs.planning.plan import Option

if TYPE_CHECKING:
    from transfergrid.runs.stages import Share

Found = TypeVar("Found")
_shares: dict[str, Share] = {}
"""Training already done, side by side, for cells that are yet to be run, by identity."""
PREPARED = {"check": "transfergrid.runs.checking", "cells": "transfergrid.runs.cell"}
"""Modules to import ahead, by kind of order; only cells need Lightning, the slowest import."""


def run(
    cell: Cell,
    ledger: Ledger,
    machine: Config,
    tracking: Config | None = None,
    keep: str | None = None,
    beside: Sequence[Cell] = (),
    stacked: Stacked = False,
) -> Record:
    """Run a cell with a tracker of its own; first train it side by side with those `beside` it."""
    from transfergrid.runs.cell import run_cell
    from transfergrid.runs.machine import Machine

    tracker, runs_on = build(tracking) if tracking else None, Machine(**machine)
    if beside:
        from transfergrid.runs.stacked import train_together

        _shares.clear()
        _shares.update(train_together([cell, *beside], ledger, runs_on, tracker, stacked))
    return run_cell(cell, ledger, runs_on, tracker, keep, _shares.pop(cell.id, None))


def obey(order: dict[str, Any]) -> Record:
    """Run the cell of an order; orders are not trusted, anyone may have written them."""
    trust.check(order)
    ledger = Ledger(order.get("results", "results"))
    cell = cell_of(order["cell"])
    machine, tracking, keep = order.get("machine", {}), order.get("tracking"), order.get("keep")
    beside = [cell_of(other) for other in order.get("beside", ())]
    return run(cell, ledger, machine, tracking, keep, beside, order.get("stacked", False))


def _seconds(record: Record) -> float:
    """Return the seconds that a cell took, without the training of its source."""
    return record.cost.seconds.total - record.cost.seconds.source


@dataclass
class Checked:
    """The result of building the parts of cells.

    Attributes:
        reason: the mistake in what was asked for; None if there is none.
        bytes: how many bytes of weights cells would keep, by identity.
        impossible: why cells are impossible, by identity.
    """

    reason: str | None = None
    bytes: dict[str, int] = field(default_factory=dict)
    impossible: dict[str, str] = field(default_factory=dict)


def check(cells: Sequence[dict[str, Any]]) -> Checked:
    """Build the parts of cells, and return what was found.

    Errors that are no mistake of the user (a full disk, a bug) are left to the cells: they then
    fail one by one.
    """
    found = Checked()
    try:
        trust.check(cells)
        from transfergrid.runs.checking import check_parts, check_values

        told = [cell_of(cell) for cell in cells]
        for cell in told:  # for all cells first: cheap, so a mistake is found before networks build
            _unless_broken(check_values, cell)
        for cell in told:
            try:
                size = _unless_broken(check_parts, cell)
                found.bytes.update({} if size is None else {cell.id: size})
            except ImpossibleError as error:
                found.impossible[cell.id] = str(error)
    except BadInputError as error:
        found.reason = str(error)
    return found


def _unless_broken(step: Callable[[Cell], Found], cell: Cell) -> Found | None:
    """Return the result of a checking step; None if it fails by no mistake of the user."""
    try:
        return step(cell)
    except BadInputError:
        raise
    except Exception:
        traceback.print_exc()
        return None


def reason_of(error: BaseException) -> str:
    """Return an error as one line."""
    text = as_line(error)
    return text if isinstance(error, BadInputError) else f"{type(error).__name__}: {text}"


def serve() -> None:
    """Obey one order per line until input ends; everything else that is printed goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    orphans.end_with_parent()
    faulthandler.enable()  # what a crash of a library leaves in the log
    faulthandler.register(TELLS)
    listen(lambda stage: print(json.dumps({"doing": stage}), file=answers, flush=True))
    for line in sys.stdin:
        seconds: float | None = None
        found = Checked()
        try:
            order = json.loads(line)
            if "prepare" in order:
                with suppress(Exception):  # the order that needs the module will report it
                    import_module(PREPARED[order["prepare"]])
                continue
            if "check" in order:
                found = check(order["check"])
            else:
                tell("")  # the cell begins: imports before this do not count for it
                seconds = _seconds(obey(order))
        except (Exception, SystemExit) as error:  # a failing cell must not take the worker along
            if isinstance(error, SystemExit) and stopping.is_asked():
                raise
            traceback.print_exc()
            found.reason = reason_of(error)
            if isinstance(error, KilledError):  # die of the same signal: the grid handles that
                sys.stderr.flush()
                os.kill(os.getpid(), error.signal)
        end_of_cell()
        sys.stdout.flush()
        sys.stderr.flush()
        answer = {**asdict(found), "seconds": seconds}
        print(json.dumps(answer), file=answers, flush=True)


def cell_in(order: dict[str, Any]) -> Cell:
    """Return the cell of an order or of a record, such as the record of a failed attempt.

    Its identity is computed anew from its parts, so an edited file is another cell. It is computed
    under the cell's own protocol, as the identities of its baselines were.

    Raises:
        BadInputError: it holds no cell, names what may not be imported, or has a newer protocol.
    """
    told = order.get("cell")
    cell = cell_of(order) if told is None else cell_of({"protocol": PROTOCOL, **told})
    if cell.protocol > PROTOCOL:
        raise BadInputError(
            f"a cell of protocol {cell.protocol}, newer than {PROTOCOL}, the last that this "
            "transfergrid knows: upgrade it"
        )
    trust.check(cell.config)  # the whole config, before any of it is imported
    needs = Option("", cell.config["strategy"]).needs
    parts, identity = identity_of(cell.config, needs, cell.protocol)
    return replace(cell, parts=parts, id=identity)


def results_of(record: Path) -> Path:
    """Return the folder of the ledger that a record lies in; the usual one if it is in none."""
    for folder in record.absolute().parents:
        if folder.name in ("attempts", "cells"):
            return folder.parent
    return Path("results")


def run_file(path: str) -> int:
    """Run the cell in a file; return the exit code."""
    try:
        order = json.loads(Path(path).read_text())
        cell = cell_in(order)
        if "config" in order:  # a record: it holds neither this machine nor a tracker
            order = {"results": str(results_of(Path(path)))}
        order["cell"] = asdict(cell)
    except BadInputError as error:
        complain(f"{path}: {error}")
        return 2
    except (OSError, ValueError, KeyError, TypeError) as error:
        say(
            f"transfergrid.runs.launching.worker: {path} holds no cell: {reason_of(error)}",
            file=sys.stderr,
        )
        return 2
    ledger = Ledger(order.get("results", "results"))
    try:
        record = obey(order)
    except Exception as error:
        log = traceback.format_exc()
        ledger.fail(identified(cell, Status.FAILED, reason=reason_of(error)), log)
        known = isinstance(error, BadInputError)
        say(f"transfergrid: {error}" if known else log, file=sys.stderr)
        return 2 if known else 1
    say(f"{record.id} {cell.label}: {record.metric.name} {record.score}")
    return 0


def main(arguments: list[str]) -> int:
    """Run as a program."""
    rest = list(arguments)
    try:
        while "--allow" in rest[:-1]:
            place = rest.index("--allow")
            trust.allow(rest[place + 1])
            del rest[place : place + 2]
    except BadInputError as error:
        complain(error)
        return 2
    if len(rest) != 1 or rest[0] == "--allow":
        say(__doc__, file=sys.stderr)
        return 2
    if rest[0] == "-":
        serve()
        return 0
    return run_file(rest[0])


if __name__ == "__main__":
    trust.leave_working_directory()
    stopping.obey()
    sys.exit(main(sys.argv[1:]))
