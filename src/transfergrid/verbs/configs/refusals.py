"""What the constructors of shipped parts would refuse, told before any of them is imported.

A strategy is built where torch is, some twenty seconds after a command was typed. But what its
arguments may be stands in the annotations of its source file: these are read (see `shipped`) and
held against the values that were typed. A test holds this against what the constructors refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfergrid.records.arguments import check_values
from transfergrid.records.shipped import group_of, parameters


def check_config(config: Any) -> None:
    """Raise what building a config would, as far as annotations tell.

    Raises:
        BadInputError: a value is of another type than a shipped part takes, or out of its range.
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
