"""The verb `check`: test whether a strategy keeps the rules of a fair comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transfergrid.records import shipped
from transfergrid.records.errors import BadInputError
from transfergrid.records.printing import say
from transfergrid.verbs.describing import class_of
from transfergrid.verbs.parser import Parser

if TYPE_CHECKING:
    from transfergrid.testing import Outcome


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid check STRATEGY [--yaml FILE]`; return 1 if a rule is broken."""
    parser = Parser(
        prog="transfergrid check",
        description="Run the conformance suite on a strategy, in seconds, on tiny domains: a line "
        "for each rule, and how to mend what breaks one. Leaves with 1 if one is broken.",
    )
    parser.add_argument("strategy", help="a shipped strategy's name, or MODULE.CLASS of your own")
    parser.add_argument("--yaml", metavar="FILE", help="its config file")
    chosen = parser.parse_args(arguments)
    kind = class_of(chosen.strategy)

    from transfergrid.testing import outcomes

    told: list[Outcome] = []
    for outcome in outcomes(kind, _file(chosen.strategy, chosen.yaml)):
        told.append(outcome)
        say(_line(outcome), flush=True)
    broken = sum(outcome.found is not None for outcome in told)
    if broken:
        say(f"{kind.__name__} breaks {broken} of {len(told)} rules")
        return 1
    say(f"{kind.__name__} keeps all {len(told)} rules")
    return 0


def _file(name: str, given: str | None) -> Path | None:
    """Return the given config file, or a shipped strategy's own."""
    if given is None:
        return shipped.conf_dir() / "strategy" / f"{name}.yaml" if "." not in name else None
    if not Path(given).is_file():
        raise BadInputError(f"there is no file {given}")
    return Path(given)


def _line(outcome: Outcome) -> str:
    if outcome.found is not None:
        return f"BROKEN  {outcome.rule}: {outcome.found}"
    return f"kept    {outcome.rule}" if outcome.was_run else f"not run {outcome.rule}"
