"""The verb `report`: write one HTML file with the answer and all its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfergrid.evidence.declared.judged import bench_of
from transfergrid.records.errors import BadInputError, writing
from transfergrid.records.ledgers.ledger import Ledger, without_garbage_collection
from transfergrid.records.printing import say
from transfergrid.verbs.parser import Parser


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid report [RESULTS] [-o FILE] [--figures FOLDER] ...`."""
    from transfergrid.report.html.gather import report_data
    from transfergrid.report.html.page import page

    chosen = _parser().parse_args(arguments)
    bench = bench_of(Ledger(chosen.results))
    with without_garbage_collection():
        data = report_data(bench, title=chosen.title, where=chosen.where)
        if not (data.verdicts or data.failed):
            raise BadInputError(f"nothing in '{chosen.results}' is compared with a baseline")
        with writing(chosen.output):
            Path(chosen.output).write_text(page(data), encoding="utf-8")
    if chosen.figures and data.verdicts:
        from transfergrid.report.html.figures import write_figures

        files = write_figures(data, Path(chosen.figures))
        say(f"{chosen.figures}: {len(files)} files, each figure as SVG, PNG and CSV")
    bench.note_look([*data.verdicts, *data.further], "report")
    say(f"{chosen.output}: {len(data.verdicts)} comparisons, {len(data.cells)} cells")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="transfergrid report",
        description="Write one HTML file: what helped, what hurt, and what that rests on.",
    )
    add = parser.add_argument
    parser.add_ledger()
    add("-o", "--output", default="report.html", help="the HTML file to write")
    add("--figures", metavar="FOLDER", help="for SVG, PNG and CSV of each figure, for a paper")
    add("--title", default="", help="instead of the question")
    return parser
