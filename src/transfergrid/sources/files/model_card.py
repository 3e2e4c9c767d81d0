"""Metadata of a model from the YAML front matter of its README."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from transfergrid.records.files import contents
from transfergrid.sources.cards import Card, listed

README = "README.md"
MOST_BYTES = 1 << 16
"""How many bytes of a README are read at most."""


def read(folder: Path) -> Card:
    """Return a card with the licence and the datasets that a folder's README names, if any."""
    values = _front_matter(folder / README)
    licence, datasets = values.get("license"), listed(values.get("datasets"))
    told: dict[str, Any] = {"licence": licence} if isinstance(licence, str) else {}
    if all(isinstance(name, str) for name in datasets):
        told["trained_on"] = datasets
    return Card.read(told)


def _front_matter(file: Path) -> dict[str, Any]:
    """Return the YAML values at the start of a file, between lines of dashes; {} without any."""
    try:
        contents.status_of(file)
        with file.open("rb") as stream:
            text = stream.read(MOST_BYTES).decode("utf-8", "ignore")
    except OSError:
        return {}
    first, *rest = text.split("---", 2)
    if first.strip() or len(rest) < 2:
        return {}
    try:
        values = yaml.safe_load(rest[0])
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
