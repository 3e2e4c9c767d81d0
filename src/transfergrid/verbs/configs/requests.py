"""Requests: the words of the command line and of a study, sorted into the axes of a grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Transformer
from hydra.errors import HydraException

from transfergrid.records.errors import BadInputError, first_line
from transfergrid.verbs.configs.keys import GROUPS
from transfergrid.verbs.configs.several_sources import alone, expanded, takes_lists


@dataclass
class Axis:
    """The request for one group: its options, and the values of keys inside it."""

    names: list[str]
    inside: dict[str, list[str]] = field(default_factory=dict)
    """Override keys, such as `source.model` or `target@source.domain`, with their values as
    typed."""

    def choices(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield every (option, overrides) of this axis."""
        pairs = [[f"{key}={value}" for value in values] for key, values in self.inside.items()]
        for name, *overrides in product(self.names, *pairs):
            yield name, tuple(overrides)


@dataclass
class Request:
    """A parsed command line: axes of groups, the axes of labels and seeds, and other settings."""

    axes: dict[str, Axis]
    labels: list[str]
    seeds: list[str]
    settings: list[str]

    @property
    def names(self) -> dict[str, list[str]]:
        """The requested options by group, without the overrides inside them."""
        return {
            group: [name for told in axis.names for name, _ in alone(group, (told, ()))]
            for group, axis in self.axes.items()
        }


def read_request(
    arguments: Sequence[str],
    params: Mapping[str, Any],
    defaults: Mapping[str, str],
    loader: ConfigLoader | None = None,
) -> Request:
    """Return overrides sorted into axes; the command line wins over a study's `params` per key.

    Args:
        arguments: the overrides as typed.
        params: `hydra.sweeper.params`: by key, comma-separated values or a sweep expression.
        defaults: the default option of each group, and the default `labels` and `seed`.
        loader: Hydra's config loader, for `glob(...)` over the options of a group.

    Raises:
        BadInputError: an override cannot be parsed, sweeps over something that is not an axis, or
            has no value.
    """
    asked: dict[str, list[str]] = {}
    settings: list[str] = []
    typed = parse([expanded(word) for word in arguments], loader)
    given = {override_key(o) for o in typed}
    study = {key: value for key, value in params.items() if key not in given}
    from_study = [expanded(f"{key}={value}") for key, value in study.items()]
    for override in [*parse(from_study, loader), *typed]:
        group = group_of(override)
        if group is None:
            settings.append(_single(override))
        elif override.is_delete():
            raise BadInputError(f"{override.input_line}: no part of a cell can be left out")
        else:
            asked[override_key(override)] = _one_each(override)
            if not asked[override_key(override)]:
                raise BadInputError(f"{override.input_line} names nothing")
    labels = asked.pop("labels", [defaults["labels"]])
    seeds = asked.pop("seed", [defaults["seed"]])
    axes = {group: Axis(asked.pop(group, [defaults[group]])) for group in GROUPS}
    for key, values in asked.items():
        axes[key.partition("@")[2].partition(".")[0] or key.partition(".")[0]].inside[key] = values
    return Request(axes, labels, seeds, settings)


def parse(lines: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Return the overrides parsed with Hydra's grammar."""
    try:
        parsed: list[Override] = OverridesParser.create(loader).parse_overrides(list(lines))
    except HydraException as error:
        raise BadInputError(f"cannot read this override: {first_line(error)}") from error
    return parsed


def override_key(override: Override) -> str:
    """Return the key without `+`; a group inside a package is `group@package`."""
    key = override.key_or_group
    return f"{key}@{override.package}" if override.package else key


def group_of(override: Override) -> str | None:
    """Return the axis that an override belongs to, or None for a setting."""
    place = override.package or override.key_or_group
    first = place.partition(".")[0]
    return first if first in (*GROUPS, "labels", "seed") else None


def values_of(override: Override) -> list[str]:
    """Return an override's values, each as it would be typed alone."""
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if override.is_interval_sweep():
        raise BadInputError(f"{override.input_line}: list the values or give a range")
    return [str(value) for value in override.sweep_iterator(transformer=Transformer.encode)]


def _one_each(override: Override) -> list[str]:
    """Return an override's values; refuse a list where one part, budget or seed is expected.

    Exception: a list of sources, or of a source's domains, is one source.
    """
    key, values = override_key(override), values_of(override)
    if "@" in key or key in (*GROUPS, "labels", "seed"):
        for value in values:
            if value[:1] in ("[", "{") and not (value[0] == "[" and takes_lists(key)):
                each = ",".join(part.strip() for part in value.strip("[]{}").split(","))
                raise BadInputError(
                    f"{key}={value}: a place takes one at a time, and this is several; to try "
                    f"each give {key}={each}"
                )
    return values


def _single(override: Override) -> str:
    if override.is_sweep_override():
        raise BadInputError(
            f"{override.input_line}: {override_key(override)} is the same for all cells; "
            f"axes are {', '.join((*GROUPS, 'labels', 'seed'))}"
        )
    return str(override.input_line)
