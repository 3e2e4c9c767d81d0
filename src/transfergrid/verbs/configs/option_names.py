"""The display names of a group's options: the name, with what distinguishes each variant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfergrid.records.factory import Config
from transfergrid.runs.planning.plan import Option

Choice = tuple[str, tuple[str, ...]]
"""An option's name and its overrides, as typed."""
_SHOWN = re.compile(r"""^(["']?)(\w+)\(([^()]*)\)\1$""")
"""A name with overrides in brackets, as tables show it."""
_MOST_PARTS = 6
"""One more than the largest number of path components that distinguish paths with the same
ending."""


def as_typed(group: str, name: str, overrides: tuple[str, ...] = ()) -> Choice:
    """Return a choice from a name that may contain overrides in brackets, as tables show it.

    `source='glyph_digits(label_noise=0.1)'` is `glyph_digits` with `source.label_noise=0.1`: so an
    axis may contain variants of one option.

    Args:
        group: the option's group.
        name: the name as typed, quoted or not.
        overrides: overrides that apply to every option of the axis; they take precedence.
    """
    shown = _SHOWN.match(name)
    if shown is None:
        return name, overrides
    inside = re.split(r",(?![^\[{]*[\]}])", shown[3])
    own = tuple(f"{group}.{each.strip()}" for each in inside if each.strip())
    return shown[2], (*own, *overrides)


def display_name(name: str, config: Config, overrides: Sequence[str], parts: int = 1) -> str:
    """Return an option's display name: its name, with the overrides that make it a variant.

    `about.named_by` is a key, or several candidates, whose value says more than the option's name.

    Args:
        name: the option's name.
        config: its resolved config: resolved interpolations are shown.
        overrides: the overrides as typed.
        parts: how many trailing components of a path are shown.
    """
    about = config.get("about") or {}
    keys = about.get("named_by") or ()
    by = next((k for k in ([keys] if isinstance(keys, str) else keys) if config.get(k)), None)
    if by is not None:
        name = str(config[by])
        if by in about.get("paths", ()) or Path(name).is_dir():
            path = Path(name)
            name = _ending(str(path if path.is_dir() else path.with_suffix("")), parts)
    rest = [override.partition(".")[2] for override in overrides]
    silent = {by, *about.get("descriptive", ())}
    told = [
        _brief(text, config, parts)
        for text in rest
        if text.partition("=")[0].partition(".")[0] not in silent
    ]
    return f"{name}({','.join(told)})" if told else name


def _brief(override: str, config: Config, parts: int) -> str:
    """Return `key=value` with the last components of a path only, or the name of a class."""
    key, _, value = override.partition("=")
    if "${" in value:
        value = _came_to(config, key.split("."), value)
    made = re.search(r"_target_:\s*[\w.]*?(\w+)\s*[,}]", value)
    if made:
        return f"{key}={made[1]}"
    return f"{key}={_ending(value, parts)}"


def _ending(path: str, parts: int) -> str:
    return "/".join(path.rstrip("/").split("/")[-parts:])


def _came_to(config: Any, path: Sequence[str], typed: str) -> str:
    """Return the resolved value at a path, or the typed one if there is none."""
    for key in path:
        config = config.get(key) if isinstance(config, dict) else None
    return typed if config is None else str(config)


def told_apart(options: Sequence[Option], choices: Sequence[Choice]) -> list[Option]:
    """Return the options with names that show enough of their paths to be distinct."""
    told = list(options)
    for parts in range(2, _MOST_PARTS):
        called = Counter(option.name for option in told)
        told = [
            option
            if called[option.name] == 1
            else replace(option, name=display_name(name, option.config, overrides, parts))
            for option, (name, overrides) in zip(told, choices, strict=True)
        ]
    return told
