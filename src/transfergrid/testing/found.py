"""How checks report what they find."""

from __future__ import annotations

from collections.abc import Sequence


class Broken(AssertionError):  # noqa: N818
    """A rule is broken; the message says what was found and how to fix it.

    Attributes:
        rule: name of the check that it belongs to, if another check found it.
    """

    def __init__(self, text: str, rule: str | None = None) -> None:
        super().__init__(text)
        self.rule = rule


def expect(condition: object, found: str, mend: str, rule: str | None = None) -> None:
    """Raise `Broken` unless the condition holds."""
    if not condition:
        raise Broken(f"{found}. {mend}.", rule)


def some(names: Sequence[str], most: int = 3) -> str:
    """Return the first few of these names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
