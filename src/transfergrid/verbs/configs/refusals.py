"""Checks of arguments that shipped constructors would refuse, before any of them is imported.

A strategy is built only after torch was imported, some twenty seconds after the command. But the
valid arguments are in the annotations of its source file: these are read (see `shipped`) and
compared with the typed values. A test compares this with what the constructors refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfergrid.records.arguments import check_values
from transfergrid.records.shipped import group_of, parameters


def check_config(config: Any) -> None:
    """Raise what building a config would raise, as far as annotations tell.

    Raises:
        BadInputError: a value has the wrong type for a shipped part, or is out of range.
    """
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key != "about":
                check_config(value)
        if isinstance(target := config.get("_target_"), str):
            taken = {name: known.annotation for name, known in parameters(target).items()}
            check_values(target.rpartition(".")[2], group_of(target), taken, config)
    elif isinstance(config, (list, tuple)):
        for item in config:
            check_config(item)
