"""How a table of results made elsewhere is to be read: what was said of its columns and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from transfergrid.records.errors import BadInputError, check_known

REQUIRED = ("strategy", "target", "seed", "score")
OPTIONAL = ("source", "architecture", "labels")
SHARE, PERCENT, PLAIN = "share", "percent", "plain"
UNITS = (SHARE, PERCENT, PLAIN)
"""Of a score: 1 is everything, 100 is everything, or a unit of its own, as a loss has."""
PER_CLASS, TOTAL = "class", "total"
BUDGETS = (PER_CLASS, TOTAL, PERCENT)
"""What a number of labels counts."""
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
    """A table whose further columns hold scores, their headings naming something.

    Args:
        levels: what the rows of headings name, from above: of strategy, target, seed, source,
            architecture and labels.
        only: names or patterns of the columns that hold scores; by default all that are not
            spoken for.
    """

    levels: tuple[str, ...]
    only: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Wide:
        """Read what was typed as `target`, `target,seed` or `seed=run_*`.

        Raises:
            BadInputError: headings cannot name that.
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
        """Return whether a column that is not spoken for holds scores."""
        return not self.only or any(fnmatchcase(column, pattern) for pattern in self.only)


@dataclass(frozen=True, kw_only=True)
class TableColumns:
    """How to read a table: what its columns are called, and what its rows mean."""

    source: str = "source"
    """Blank for an arm without any source. It may be missing, and so may the next, and `labels`."""
    architecture: str = "architecture"
    strategy: str = "strategy"
    target: str = "target"
    labels: str = "labels"
    """Of target labels: whole numbers, or "all"."""
    seed: str = "seed"
    """Of the block that an arm shares with its baseline."""
    score: str = "score"
    baseline: str = "scratch"
    """The strategy whose rows the others are compared with."""
    metric: str = "score"
    """What the score is called."""
    lower_is_better: bool = False
    placebos: tuple[str, ...] = ()
    """Sources that have nothing to teach: names, or patterns such as `placebo_*`."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Of each target's scores, one of `UNITS`; that of "" is the others'."""
    wide: Wide | None = None
    fill: Mapping[str, str] = field(default_factory=dict)
    """What all rows have, by column, where the table has no such column."""
    labels_are: str = PER_CLASS
    """What a number of labels counts, one of `BUDGETS`."""
    block: str | None = None
    """The column that is each run's block, where that is no seed: such as a task, or the target
    itself, and then gains are means over targets."""
    means: bool = False
    """Whether of "71.2 ± 0.4" the mean is taken as a score, and the spread left aside."""

    def name_of(self, column: str) -> str:
        """Return what one of `REQUIRED` and `OPTIONAL` is called in the table."""
        if column == "seed" and self.block:
            return self.block
        name: str = getattr(self, column)
        return name

    def unit_of(self, target: str) -> str | None:
        """Return what was said of a target's scores."""
        return self.units.get(target, self.units.get(""))


def renamed(pairs: Sequence[str]) -> dict[str, str]:
    """Read what was typed as `score=acc` into names of columns.

    Raises:
        BadInputError: there is no such column to rename.
    """
    return _pairs(pairs, "--column", "the name in the table, {}=NAME")


def filled(pairs: Sequence[str]) -> dict[str, str]:
    """Read what was typed as `target=digits` into what all rows have.

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
    """Read what was typed as `percent` or `digits=share` into a unit by target, "" for the others.

    Raises:
        BadInputError: there is no such unit.
    """
    found = {}
    for text in typed:
        target, _, unit = text.rpartition("=")
        check_known("--unit", unit, UNITS)
        found[target] = unit
    return found
