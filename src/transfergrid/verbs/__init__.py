"""What the verbs of the command line share."""

from __future__ import annotations

import argparse
from typing import NoReturn

from transfergrid.errors import BadInputError


class Parser(argparse.ArgumentParser):
    """Reads the words behind a verb; what it cannot read is bad input like any other."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise BadInputError(f"{message} ({self.prog} --help)")
