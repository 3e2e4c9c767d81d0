"""The argument parser that all verbs of the command line share."""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from transfergrid.records import trust
from transfergrid.records.errors import BadInputError, check_known

Item = TypeVar("Item")


class _Allow(argparse.Action):
    """Allows a module as the user's own as soon as it is parsed; see `trust`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Allow the module."""
        trust.allow(str(values))


def _format(name: str) -> str:
    from transfergrid.report.tables.sheet import FORMATS

    check_known("format", name, FORMATS)
    return name


def listed(text: str | None, kind: Callable[[str], Item], option: str) -> tuple[Item, ...]:
    """Return the values of an option that takes a list, such as "3,5"."""
    try:
        return tuple(kind(word.strip()) for word in text.split(",")) if text else ()
    except ValueError:
        raise BadInputError(f"{option} {text}: give numbers with commas between") from None


def fitting(line: str, width: int) -> str:
    """Return a line, wrapped if too long, with continuation lines below its second column."""
    if len(line) <= width:
        return line
    columns = re.match(r"\s*(usage: |\S+\s{2,})?", line)
    hanging = " " * (columns.end() if columns else 0)
    return textwrap.fill(line, width, subsequent_indent=hanging, break_on_hyphens=False)


class Parser(argparse.ArgumentParser):
    """Parses the words after a verb; errors are raised as `BadInputError`.

    Every verb may encounter class names written by somebody else, so each has --allow.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_argument(
            "--allow",
            action=_Allow,
            default=argparse.SUPPRESS,
            metavar="MODULE",
            help="import strategies of your own from this module, where results or a model name "
            "them; may be repeated",
        )

    def add_ledger(
        self, help: str = "the ledger's folder", default: str | None = "results"
    ) -> None:
        """Add the folder of results, and --where, which selects a part of them."""
        from transfergrid.evidence.measured.selecting import HELP

        self.add_argument("results", nargs="?", default=default, help=help)
        self.add_argument("--where", default="", help=HELP)

    def add_over(self) -> None:
        """Add --over."""
        self.add_argument("--over", help="an exploratory baseline instead of the primary one")

    def add_cell(self) -> None:
        """Add a cell's id, which may be abbreviated, and --results, its folder."""
        self.add_argument("cell", help="its id, or the first four or more digits of it")
        self.add_argument("--results", default="results", help="the ledger's folder")

    def add_format(self) -> None:
        """Add --format, the output format of the table, for people or programs."""
        from transfergrid.report.tables.sheet import FORMATS

        self.add_argument("--format", type=_format, default=FORMATS[0], help=", ".join(FORMATS))

    def format_help(self) -> str:
        """Return the help with all lines wrapped to the terminal's width, including epilogs."""
        width = shutil.get_terminal_size().columns
        return "".join(f"{fitting(line, width)}\n" for line in super().format_help().splitlines())

    def error(self, message: str) -> NoReturn:
        """Raise `BadInputError` instead of printing the usage."""
        raise BadInputError(f"{message} ({self.prog} --help)")
