"""How to read a foreign table of results: its columns, headings and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from transfergrid.records.errors import BadInputError, check_known

REQUIRED = ("strategy", "target", "seed", "score")
OPTIONAL = ("source", "architecture", "labels")
SHARE, PERCENT, PLAIN = "share", "percent", "plain"
UNITS = (SHARE, PERCENT, PLAIN)
"""Units of a score: the maximum is 1, the maximum is 100, or the unit is its own, as for a loss."""
PER_CLASS, TOTAL = "class", "total"
BUDGETS = (PER_CLASS, TOTAL, PERCENT)
"""The meanings of a number of labels."""
HELP = """\
A table holds one run a row (CSV, TSV, JSON lines, JSON, Parquet, markdown; -
reads standard input):
  strategy      how it was trained; a row with strategy `scratch` is the
                baseline, whatever its source (--baseline names another)
  target        what it was tested on
  seed          the seed block that it shares with its baseline; a number or
                a name
  score         on the test set; blank: a failed run. Up to 1 reads as shares,
                else as per cent; --unit says it
  source        what was transferred; blank for an arm without any (optional)
  architecture  a baseline serves arms of its own architecture (optional)
  labels        target labels a class, a number or `all` (optional)
Other columns are left aside. --column score=acc reads the score from acc.
A column for each target, strategy or seed: --wide target; two rows of headings:
--wide target,seed. No seeds: --block task compares within each task;
--fill seed=0 if each arm ran once.
"""


@dataclass(frozen=True)
class Wide:
    """A wide table: further columns hold scores, and their headings name something.

    Args:
        levels: what each row of headings names, from top to bottom: strategy, target, seed, source,
            architecture or labels.
        only: names or patterns of the score columns; by default all columns without another role.
    """

    levels: tuple[str, ...]
    only: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Wide:
        """Return the layout typed as `target`, `target,seed` or `seed=run_*`.

        Raises:
            BadInputError: headings cannot name this.
        """
        levels, _, only = text.partition("=")
        names = tuple(name.strip() for name in levels.split(","))
        known = [name for name in (*REQUIRED, *OPTIONAL) if name != "score"]
        for name in names:
            check_known("--wide", name, known)
        if len(set(names)) < len(names):
            raise BadInputError(f"--wide {text}: each row of headings names something of its own")
        return cls(names, tuple(filter(None, (part.strip() for part in only.split(",")))))

    def holds(self, column: str) -> bool:
        """Return whether a column without another role holds scores."""
        return not self.only or any(fnmatchcase(column, pattern) for pattern in self.only)


@dataclass(frozen=True, kw_only=True)
class TableColumns:
    """How to read a table: the names of its columns, and the meaning of its rows."""

    source: str = "source"
    """Blank for an arm without a source. This column may be missing; so may `architecture` and
    `labels`."""
    architecture: str = "architecture"
    strategy: str = "strategy"
    target: str = "target"
    labels: str = "labels"
    """The number of target labels: a whole number, or "all"."""
    seed: str = "seed"
    """The seed block that an arm shares with its baseline."""
    score: str = "score"
    baseline: str = "scratch"
    """The strategy whose rows the others are compared with."""
    metric: str = "score"
    """The name of the score."""
    lower_is_better: bool = False
    placebos: tuple[str, ...] = ()
    """The sources that have nothing to teach: names, or patterns such as `placebo_*`."""
    units: Mapping[str, str] = field(default_factory=dict)
    """The unit of each target's scores, one of `UNITS`; key "" is for all other targets."""
    wide: Wide | None = None
    fill: Mapping[str, str] = field(default_factory=dict)
    """By column, the value of all rows, where the table has no such column."""
    labels_are: str = PER_CLASS
    """The meaning of a number of labels, one of `BUDGETS`."""
    block: str | None = None
    """The column with each run's block, if that is not a seed, such as a task; or the target
    itself, and then gains are means over targets."""
    means: bool = False
    """Whether to read "71.2 ± 0.4" as the score 71.2 and ignore the spread."""

    def name_of(self, column: str) -> str:
        """Return the name in the table of one of `REQUIRED` and `OPTIONAL`."""
        if column == "seed" and self.block:
            return self.block
        name: str = getattr(self, column)
        return name

    def unit_of(self, target: str) -> str | None:
        """Return the unit stated for a target's scores; None if none was."""
        return self.units.get(target, self.units.get(""))


def renamed(pairs: Sequence[str]) -> dict[str, str]:
    """Return the column names given as `score=acc`.

    Raises:
        BadInputError: there is no column of this name to rename.
    """
    return _pairs(pairs, "--column", "the name in the table, {}=NAME")


def filled(pairs: Sequence[str]) -> dict[str, str]:
    """Return the values of all rows given as `target=digits`.

    Raises:
        BadInputError: there is no such column.
    """
    return _pairs(pairs, "--fill", "what all rows have, {}=VALUE")


def _pairs(pairs: Sequence[str], option: str, wanted: str) -> dict[str, str]:
    names = {}
    for pair in pairs:
        column, equals, name = pair.partition("=")
        check_known("column", column, (*REQUIRED, *OPTIONAL))
        if not equals or not name:
            raise BadInputError(f"{option} {pair}: give {wanted.format(column)}")
        names[column] = name
    return names


def units(typed: Sequence[str]) -> dict[str, str]:
    """Return units by target given as `percent` or `digits=share`; key "" is for the others.

    Raises:
        BadInputError: there is no such unit.
    """
    found = {}
    for text in typed:
        target, _, unit = text.rpartition("=")
        check_known("--unit", unit, UNITS)
        found[target] = unit
    return found
