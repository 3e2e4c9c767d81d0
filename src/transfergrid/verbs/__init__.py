"""What the verbs of the command line share."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from transfergrid import trust
from transfergrid.errors import BadInputError


class _Allow(argparse.Action):
    """Takes modules for the user's own as soon as they are read; see `trust`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Allow them."""
        trust.allow(str(values))


class Parser(argparse.ArgumentParser):
    """Reads the words behind a verb; what it cannot read is bad input like any other.

    Every verb may meet the names of classes that somebody else wrote down, so each takes --allow.
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

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise BadInputError(f"{message} ({self.prog} --help)")
