"""The verb `ledger`: operations on a whole folder of results."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from transfergrid.evidence.declared.declarations import read_grid
from transfergrid.evidence.declared.looks import read_look
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.ledgers.checkup import check
from transfergrid.records.ledgers.compacting import compact
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.ledgers.merging import Merged, merge
from transfergrid.records.ledgers.packing import ENDING, EXACT, KINDS, NONE, ROUNDED, pack
from transfergrid.records.ledgers.unpacking import unpack
from transfergrid.records.printing import say
from transfergrid.report.exports.one_table import ENDINGS, write_table
from transfergrid.report.running.kept import size
from transfergrid.report.wording.words import plural, some
from transfergrid.verbs.finding import SHOWN
from transfergrid.verbs.parser import Parser


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid ledger check|compact|merge|export [RESULTS] ...`.

    Raises:
        BadInputError: there is no such operation, or it is not possible.
    """
    chosen = _parser().parse_intermixed_args(arguments)
    check_known("thing to do with a ledger", chosen.what, DOES)
    check_known("way to keep predictions", chosen.predictions, KINDS)
    return DOES[chosen.what](chosen)


def _parser() -> Parser:
    parser = Parser(
        prog="transfergrid ledger",
        usage="transfergrid ledger check|compact [RESULTS] | merge RESULTS OTHER | "
        "export [RESULTS] [-o FILE]",
        description="check reads every file and names what is damaged (exit code 1) or left over. "
        "compact merges the segments of the index and removes what killed processes left. "
        "export writes all records as one table (FILE.parquet, FILE.csv), or the whole "
        f"ledger as one small file (FILE{ENDING}) that merge takes in. merge brings cells, looks "
        "and grids of OTHER, a folder or such a file, into RESULTS.",
    )
    add = parser.add_argument
    add("what", help=", ".join(DOES))
    add("folders", nargs="*", metavar="RESULTS", help="the ledger's folder, and of merge the other")
    add("-o", "--output", metavar="FILE", help=f"of export; by default RESULTS{ENDING}")
    add(
        "--predictions",
        default=EXACT,
        metavar="HOW",
        help=f"of export to {ENDING}: {', '.join(KINDS)}. {ROUNDED} keeps 0.2 %% of each "
        "probability and every most probable class, and takes half the bytes or less",
    )
    return parser


def _export(chosen: argparse.Namespace) -> int:
    root = _folders(chosen, 1, ["results"])[0]
    ledger = Ledger(root)
    ledger.check_exists()
    file = Path(chosen.output or f"{Path(root).absolute().name}{ENDING}")
    if file.suffix in ENDINGS:
        rows = write_table(ledger, file)
        say(f"{file}: {plural(rows, 'record')}, {size(file.stat().st_size)}")
        return 0
    if not file.name.endswith(ENDING):
        endings = ", ".join((*ENDINGS, ENDING))
        raise BadInputError(f"-o {file}: give a name that ends in one of {endings}")
    packed = pack(ledger, file, chosen.predictions)
    tries = f", {plural(packed.failed, 'failed attempt')}" if packed.failed else ""
    say(f"{file}: {plural(packed.cells, 'cell')}{tries}, {size(file.stat().st_size)}")
    say(f"transfergrid ledger merge RESULTS {file} takes it in")
    return 0


def _merge(chosen: argparse.Namespace) -> int:
    into, other = (Path(name) for name in _folders(chosen, 2, []))
    ledger, kept = Ledger(into), EXACT
    ledger.check_writable()
    if other.is_dir():
        beside = Ledger(other)
        merged = merge(ledger, beside)
    else:
        with ledger.draft() as draft:
            kept = unpack(other, draft)
            beside = Ledger(draft)
            merged = merge(ledger, beside)
    ledger.compact()
    _say(merged, kept)
    return 1 if beside.warnings else 0


def _say(merged: Merged, kept: str) -> None:
    """Print what a merge did, and which cells had two different records."""
    say(f"{plural(merged.taken, 'cell')} taken, {merged.known} known before")
    others = [plural(n, kind.removesuffix("s")) for kind, n in merged.documents.items()]
    others += [plural(merged.attempts, "failed attempt")] if merged.attempts else []
    if others:
        say(f"{', '.join(others)} taken")
    if kept == ROUNDED and merged.taken:
        say("probabilities of what was taken are rounded to 0.2 % of each")
    if kept == NONE and merged.taken:
        say("what was taken has no predictions")
    differing = {"score": merged.other_scores, "record, of the same score,": merged.other_records}
    for what, names in differing.items():
        if names:
            listed = some([name[:SHOWN] for name in names])
            say(f"{plural(len(names), 'cell')} with another {what} there: kept as here ({listed})")


def _folders(chosen: argparse.Namespace, count: int, usual: Sequence[str]) -> Sequence[str]:
    """Return the folders that were typed.

    Raises:
        BadInputError: there are too many or too few.
    """
    found: Sequence[str] = chosen.folders or usual
    if len(found) != count:
        wanted = "the folder of results" if count == 1 else "two ledgers, RESULTS and OTHER"
        raise BadInputError(f"transfergrid ledger {chosen.what} takes {wanted}")
    return found


def _check(chosen: argparse.Namespace) -> int:
    ledger = Ledger(_folders(chosen, 1, ["results"])[0])
    findings = [*check(ledger, {"grids": read_grid, "looks": read_look})]
    damaged = [finding for finding in findings if finding.damaged]
    for finding in findings:
        word = "damaged" if finding.damaged else "left over"
        say(f"{word}: {finding.path}: {finding.what}")
    cells = len(ledger.listed())
    left_over = len(findings) - len(damaged)
    told = [plural(len(damaged), "file") + " damaged" if damaged else "nothing is damaged"]
    told += [f"{left_over} left over (transfergrid ledger compact)"] if left_over else []
    say(f"{plural(cells, 'cell')} read: {'; '.join(told)}")
    return 1 if damaged else 0


def _compact(chosen: argparse.Namespace) -> int:
    ledger = Ledger(_folders(chosen, 1, ["results"])[0])
    done = compact(ledger)
    say(f"{done.segments} segments of the index made one" if done.segments else "the index is one")
    if done.drafts or done.claims:
        say(
            f"removed: {plural(done.drafts, 'draft')} and {plural(done.claims, 'claim')} of "
            "processes that were killed"
        )
    say("no record, prediction, failed attempt, weight or cached value was touched")
    return 0


DOES: dict[str, Callable[[argparse.Namespace], int]] = {
    "export": _export,
    "merge": _merge,
    "check": _check,
    "compact": _compact,
}
