"""What every part of a cell (domain, architecture, source, strategy) says about itself."""

from __future__ import annotations

from typing import Any, ClassVar


class Component:
    """A part of a cell: its constructor arguments are its configuration."""

    version: ClassVar[int] = 1
    """Raised by hand whenever the same configuration may give other scores than before."""
    paths: ClassVar[tuple[str, ...]] = ()
    """Arguments that name files or folders; identity takes their contents instead."""

    @classmethod
    def about(cls) -> dict[str, Any]:
        """Return what planning needs to know; a YAML's `about` block says the same and more."""
        return {"version": cls.version, "paths": list(cls.paths)}
