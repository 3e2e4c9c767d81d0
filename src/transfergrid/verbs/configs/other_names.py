"""Aliases of options, read from their files: `swa` is `weight_averaging`.

An alias may stand for an option with a key: `dora` is `lora with strategy.dora=true`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from transfergrid.records.shipped import conf_dir

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""PyYAML's C loader if available; ten times as fast."""
ON_DISK = "file://"
"""The prefix of folder paths in Hydra."""


def other_names(group: str, places: Iterable[str] = ()) -> dict[str, str]:
    """Return the aliases of a group's options, each with the option's own name.

    They come from `about.also_called`, and from `about.variants`, which contain the words to type
    too.

    Args:
        group: a group, such as `strategy`.
        places: entries of Hydra's search path, in addition to the shipped configs; entries that are
            not on disk are ignored.
    """
    own = (place.removeprefix(ON_DISK) for place in places if place.startswith(ON_DISK))
    found: dict[str, str] = {}
    for folder in dict.fromkeys([conf_dir(), *map(Path, own)]):
        for path in sorted((folder / group).glob("*.yaml")):
            found |= _names(path)
    return found


def _names(path: Path) -> dict[str, str]:
    """Return the aliases in one file; none if it cannot be read, which is reported elsewhere."""
    about = _about(path)
    also, variants = about.get("also_called"), about.get("variants")
    found = dict.fromkeys(map(str, also), path.stem) if isinstance(also, list) else {}
    if isinstance(variants, dict):
        found |= {str(name): f"{path.stem} with {typed}" for name, typed in variants.items()}
    return found


def _about(path: Path) -> dict[str, Any]:
    try:
        about = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)["about"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return {}
    return about if isinstance(about, dict) else {}
