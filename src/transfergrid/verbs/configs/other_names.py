"""Other usual names of options, read from their files: `swa` is `weight_averaging`.

A name may mean an option with a key: `dora` is `lora with strategy.dora=true`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from transfergrid.records.shipped import conf_dir

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where PyYAML was built so; ten times as fast."""
ON_DISK = "file://"
"""What Hydra writes before a folder's path."""


def other_names(group: str, places: Iterable[str] = ()) -> dict[str, str]:
    """Return other names of a group's options, each with the option's own name.

    They are those of `about.also_called`, and of `about.variants`, which say what is typed too.

    Args:
        group: such as `strategy`.
        places: of Hydra's search path, beside the shipped configs; what is on no disk is left out.
    """
    own = (place.removeprefix(ON_DISK) for place in places if place.startswith(ON_DISK))
    found: dict[str, str] = {}
    for folder in dict.fromkeys([conf_dir(), *map(Path, own)]):
        for path in sorted((folder / group).glob("*.yaml")):
            found |= _names(path)
    return found


def _names(path: Path) -> dict[str, str]:
    """Return the names in one file; of one that cannot be read, none: others tell of that."""
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
