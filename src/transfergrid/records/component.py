"""Base classes of all parts of a cell (domain, architecture, source, strategy): their metadata."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

from transfergrid.records.arguments import check_arguments


class Part:
    """Base of every class that a config may name under `_target_`, such as components and trackers.

    No other class of this package is ever built because a file names it; see `trust`.
    """

    group: ClassVar[str] = ""
    """The config group in `conf/`; errors name an argument as `group.argument`."""

    def __post_init__(self) -> None:
        """Check the fields of a dataclass against their annotations.

        Raises:
            BadInputError: a value has the wrong type or is out of range.
        """
        check_arguments(type(self), {f.name: getattr(self, f.name) for f in fields(self)})  # type: ignore[arg-type]


class Component(Part):
    """A part of a cell: its constructor arguments are its configuration."""

    version: ClassVar[int] = 1
    """Raised by hand whenever the same config may give different scores than before."""
    paths: ClassVar[tuple[str, ...]] = ()
    """Arguments that name files or folders; the identity uses their contents instead."""
    content_addressed: ClassVar[bool] = False
    """Whether `content()` identifies what the paths hold; otherwise their bytes are hashed."""
    descriptive: ClassVar[tuple[str, ...]] = ()
    """Arguments that only inform readers and cannot change a score; not part of the identity."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Arguments that are not part of the identity while they are None.

    They were added after cells existed, and the identities of these cells must stay valid.
    """
    amended: ClassVar[bool] = False
    """Whether `amendments()` may add to the identity."""

    def content(self) -> str:
        """Return 16 hex digits that identify what the paths hold, if `content_addressed`.

        Repeated calls must be fast.

        Raises:
            BadInputError: the contents cannot be read.
        """
        raise NotImplementedError(f"{type(self).__name__} says it is content_addressed, and how?")

    def amendments(self) -> dict[str, Any]:
        """Return additions to the identity, for when the same bytes are now read in a new way."""
        return {}

    @classmethod
    def about(cls) -> dict[str, Any]:
        """Return the metadata that planning needs; the `about` block of a YAML holds it too."""
        told: dict[str, Any] = {"version": cls.version, "paths": list(cls.paths)}
        if cls.content_addressed:
            told["content"] = True
        if cls.descriptive:
            told["descriptive"] = list(cls.descriptive)
        if cls.optional:
            told["optional"] = list(cls.optional)
        if cls.amended:
            told["amended"] = True
        return told
