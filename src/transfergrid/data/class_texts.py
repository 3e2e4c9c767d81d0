"""The texts that represent the classes of a domain: their descriptions, or their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from annotated_types import doc

from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.files.spellings import shown

Descriptions = Annotated[
    Mapping[str, Any], doc("a table of classes, each with a text or a list of texts")
]
_BETWEEN = re.compile(r"(?<=[a-z])(?=[A-Z])|[\W_]+")
"""What separates words in a name: punctuation, underscores, a capital after a small letter."""


def readable(name: str) -> str:
    """Return a class's name split into words, as `NUM:dist` into "NUM dist"; unchanged without."""
    return " ".join(filter(None, _BETWEEN.split(name))) or name


def class_texts(
    classes: Sequence[str], descriptions: Mapping[str, Any] | None, known: Sequence[str] = ()
) -> tuple[tuple[str, ...], ...]:
    """Return the texts of each class: its descriptions or, without any, its readable name.

    Args:
        classes: in label order.
        descriptions: by class, a text or several.
        known: further classes that may have descriptions, such as those that are not kept.

    Raises:
        BadInputError: a described class does not exist, a text is empty, or two classes have the
            same text.
    """
    told = {str(name): texts for name, texts in (descriptions or {}).items()}
    for name in told:
        check_known("class in descriptions", name, [*classes, *known])
    found = tuple(_texts(name, told.get(name)) for name in classes)
    whose: dict[str, str] = {}
    for name, texts in zip(classes, found, strict=True):
        for text in texts:
            other = whose.setdefault(" ".join(text.lower().split()), name)
            if other != name:
                raise BadInputError(
                    f"classes {shown(other)} and {shown(name)} are both called {shown(text)}: "
                    "nothing tells them apart; descriptions={CLASS: TEXT} gives them others"
                )
    return found


def _texts(name: str, told: Any) -> tuple[str, ...]:
    if told is None:
        return (readable(name),)
    texts = (told,) if isinstance(told, str) else told
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(t, str) for t in texts):
        raise BadInputError(
            f"descriptions of class {shown(name)} must be a text or a list of texts, not {told!r}"
        )
    if not all(text.strip() for text in texts):
        raise BadInputError(f"class {shown(name)} has an empty text in descriptions")
    return tuple(texts)
