"""Copies of test examples in what is learned from: found, counted, left out on request."""

from __future__ import annotations

from transfergrid.errors import check_known

MODES = ("keep", "drop")


def check_mode(mode: str) -> None:
    """Raise `BadInputError` unless this is one of `MODES`."""
    check_known("duplicates", mode, MODES)
