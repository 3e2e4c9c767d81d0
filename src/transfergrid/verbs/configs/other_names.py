"""Other usual names of options, read from their files: `swa` is `weight_averaging`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

from transfergrid.records.shipped import conf_dir

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where PyYAML was built so; ten times as fast."""
ON_DISK = "file://"
"""What Hydra writes before a folder's path."""


def other_names(group: str, places: Iterable[str] = ()) -> dict[str, str]:
    """Return what `about.also_called` of a group's files says, each with the option's own name.

    Args:
        group: such as `strategy`.
        places: of Hydra's search path, beside the shipped configs; what is on no disk is left out.
    """
    own = (place.removeprefix(ON_DISK) for place in places if place.startswith(ON_DISK))
    found: dict[str, str] = {}
    for folder in dict.fromkeys([conf_dir(), *map(Path, own)]):
        for path in sorted((folder / group).glob("*.yaml")):
            found |= dict.fromkeys(_also_called(path), path.stem)
    return found


def _also_called(path: Path) -> list[str]:
    """Return the names in one file; of one that cannot be read, none: others tell of that."""
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
        names = config["about"]["also_called"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []
