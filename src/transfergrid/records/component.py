"""What every part of a cell (domain, architecture, source, strategy) says about itself."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

from transfergrid.records.arguments import check_arguments


class Part:
    """What a config may name under `_target_`: a component, or a tracker, or plain features.

    Nothing else in this package is ever built because a file says so; see `trust`.
    """

    group: ClassVar[str] = ""
    """What errors put before its arguments' names: the group of `conf/` that it is typed in."""

    def __post_init__(self) -> None:
        """Check the fields of a dataclass against their annotations.

        Raises:
            BadInputError: a value is of another type, or out of its range.
        """
        check_arguments(type(self), {f.name: getattr(self, f.name) for f in fields(self)})  # type: ignore[arg-type]


class Component(Part):
    """A part of a cell: its constructor arguments are its configuration."""

    version: ClassVar[int] = 1
    """Raised by hand whenever the same configuration may give other scores than before."""
    paths: ClassVar[tuple[str, ...]] = ()
    """Arguments that name files or folders; identity takes their contents instead."""
    content_addressed: ClassVar[bool] = False
    """Whether `content()` says what the paths hold; else it is the bytes that they name."""
    descriptive: ClassVar[tuple[str, ...]] = ()
    """Arguments that tell readers something and can move no score: no part of identity."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Arguments that are no part of identity where they are None: they came later than cells."""
    amended: ClassVar[bool] = False
    """Whether `amendments()` says more."""

    def content(self) -> str:
        """Return 16 hex digits of what the paths hold, if `content_addressed`; fast when repeated.

        Raises:
            BadInputError: it cannot be read.
        """
        raise NotImplementedError(f"{type(self).__name__} says it is content_addressed, and how?")

    def amendments(self) -> dict[str, Any]:
        """Return what joins identity where the same bytes are read in another way than at first."""
        return {}

    @classmethod
    def about(cls) -> dict[str, Any]:
        """Return what planning needs to know; a YAML's `about` block says the same and more."""
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
