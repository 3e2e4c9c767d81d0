"""The verb `dashboard`: create a project's W&B pages, on the server or as a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from transfergrid.records.errors import BadInputError, writing
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import say
from transfergrid.report.exports.dashboards import Page, save, specification
from transfergrid.verbs.parser import Parser

FILE = "transfergrid-dashboard.json"
LATER = "the same command without -o saves it on the server, once you are logged in (wandb login)"


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid dashboard [--project P] [--results DIR] [-o FILE] [--report] ...`."""
    chosen = _parser().parse_args(arguments)
    _check_installed()
    page = Page(chosen.project, chosen.entity, chosen.study, metrics_in(chosen.results))
    why = ""
    if chosen.output is None:
        try:
            say(f"saved: {', '.join(save(page, chosen.report))}")
            return 0
        except BadInputError as error:
            why = f"{error}: "
    file = Path(chosen.output or FILE)
    told = json.dumps(specification(page, chosen.report), indent=1)
    with writing(file):
        file.write_text(told + "\n", encoding="utf-8")
    say(f"{why}wrote the specification to {file}; {LATER}")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="transfergrid dashboard",
        description="Build the W&B workspace of a project: verdicts, gains, cells below their "
        "baseline, curves, cost. Without a server its specification goes to a file.",
    )
    parser.add_argument("--project", default="transfergrid", help="the W&B project")
    parser.add_argument("--entity", default="", help="user or team; your default if left out")
    parser.add_argument("--study", help="show this study's runs alone")
    parser.add_argument("--results", help="a ledger: show curves of the metrics it decides by")
    parser.add_argument("-o", "--output", help=f"write {FILE} or this file, and ask no server")
    parser.add_argument("--report", action="store_true", help="a W&B report of the same, too")
    return parser


def _check_installed() -> None:
    try:
        import wandb_workspaces  # noqa: F401
    except ImportError:
        raise BadInputError(
            "needs wandb-workspaces: pip install 'transfergrid[dashboards]'"
        ) from None


def metrics_in(results: str | None) -> tuple[str, ...]:
    """Return the names of the deciding metrics of a ledger's cells.

    Raises:
        BadInputError: the ledger has no done cell.
    """
    if results is None:
        return ("accuracy",)
    found = sorted({record.metric.name for record in Ledger(results).records()})
    if not found:
        raise BadInputError(f"{results} holds no cell that is done")
    return tuple(found)
