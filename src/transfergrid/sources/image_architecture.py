"""The base of architectures that are image models of a library."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from transfergrid.records.errors import BadInputError, did_you_mean, first_line
from transfergrid.sources.files.weights import OWN
from transfergrid.sources.source import Architecture


class ImageArchitecture(Architecture):
    """An image model of a library, given by its name, with square inputs."""

    if TYPE_CHECKING:

        @property
        def model(self) -> str:
            """Its name in the library."""

        @property
        def size(self) -> int | None:
            """Height and width of the inputs in pixels."""

        @property
        def options(self) -> Mapping[str, Any]:
            """Further arguments of the library's function that builds it."""

        @property
        def mean(self) -> Sequence[float] | None:
            """Mean of the inputs, on a scale of 0 to 1, one value or one per channel."""

        @property
        def std(self) -> Sequence[float] | None:
            """Standard deviation of the inputs, likewise."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model

    def text(self, library: str, **more: Any) -> str:
        """Return the model's name and all given settings as canonical text."""
        parts = {"size": self.size, "mean": self.mean, "std": self.std, **more, **self.options}
        given = {key: value for key, value in parts.items() if value is not None}
        options = json.dumps(given, sort_keys=True, default=str) if given else ""
        return f"{library} {self.model} {options}".strip()

    def unmade(self, library: str, arguments: Mapping[str, Any], error: Exception) -> BadInputError:
        """Return the error for a model that a library cannot build with these arguments."""
        given = ", ".join(f"{key}={value}" for key, value in arguments.items())
        reason = first_line(error)
        return BadInputError(f"{library} cannot make {self.model} with {given}: {reason}")


def unknown_model(library: str, model: object, known: Iterable[str], where: str) -> BadInputError:
    """Return the error for an unknown name of a model, with the most similar known name."""
    near = get_close_matches(str(model), list(known), n=1)
    hint = did_you_mean(str(model), near) or f"; {where} has them all."
    return BadInputError(f"{library} has no model {model!r}{hint}{OWN}")
