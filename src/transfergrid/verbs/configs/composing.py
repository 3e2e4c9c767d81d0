"""Hydra configs as options: each option of a group is composed once; cells are built from them.

Composing every cell would take 0.1 s each. A group's file refers to nothing outside itself, so a
cell is exactly the sum of its fragments (a test compares the two).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from transfergrid.records import trust
from transfergrid.records.errors import BadInputError, as_line, check_key, check_known, first_line
from transfergrid.records.factory import Config, locate
from transfergrid.records.files.fingerprints import at_home, is_packaged
from transfergrid.records.shipped import parameters, takes_fractions
from transfergrid.runs.planning.plan import Option
from transfergrid.verbs.configs.keys import DEFAULTS, GROUPS
from transfergrid.verbs.configs.option_names import display_name, told_apart
from transfergrid.verbs.configs.other_names import other_names
from transfergrid.verbs.configs.refusals import check_config
from transfergrid.verbs.configs.requests import Axis, parse
from transfergrid.verbs.configs.several_sources import (
    alone,
    listed_domains,
    one_source,
)

_ABSENT_PART = re.compile(r"Could not override '([^']*@[^']*)'")
"""Hydra's error message for `group@package=...` if the option has no default there."""
_INTERPOLATION = re.compile(r"\$\{(?:(oc\.env:)|(\.*))")
"""The start of an interpolation: dots where the value is looked up relative to this node."""


class Composer:
    """Composes the options of the config groups.

    Args:
        loader: Hydra's config loader.
        config_name: name of the primary config.
        settings: overrides that apply to everything, including the study.
    """

    def __init__(self, loader: ConfigLoader, config_name: str, settings: Sequence[str]) -> None:
        self.loader, self.config_name, self.settings = loader, config_name, list(settings)
        self._wholes: dict[tuple[str, ...], DictConfig] = {}
        self._fragments: dict[tuple[str, ...], DictConfig] = {}
        """Of each config in `_wholes`, the chosen group only; everything if the group refers to the
        rest."""
        self._options: dict[tuple[str, str, tuple[str, ...]], Option] = {}

    def names(self, group: str) -> list[str]:
        """Return the names of a group's options."""
        return self.loader.get_group_options(
            group, config_name=self.config_name, overrides=self.settings
        )

    def compose_together(self, names: Mapping[str, Iterable[str]]) -> None:
        """Compose several options in one composition, each in its own package, as each takes 0.1 s.

        Nothing is cached if an option is wrong, or if something else adds to a group, as a study
        may. The options are then composed one by one on demand.

        Args:
            names: names of the options, by group.
        """
        pairs = dict.fromkeys((group, name) for group in names for name in names[group])
        new = [(g, n) for g, n in pairs if n and (f"{g}={n}",) not in self._fragments]
        places = {f"{group}_{i}": (group, name) for i, (group, name) in enumerate(new)}
        placed = [f"+{group}@{place}={name}" for place, (group, name) in places.items()]
        if not placed:
            return
        try:
            whole = self._load([*(f"~{group}" for group in GROUPS), *placed])
        except (HydraException, OmegaConfBaseException, YAMLError):
            return
        if not set(GROUPS).isdisjoint(whole):
            return
        for place, (group, name) in places.items():
            node = whole.get(place)
            if OmegaConf.is_dict(node) and "_target_" in node and not _refers_out(_plain(node)):
                self._fragments[f"{group}={name}",] = made = OmegaConf.masked_copy(whole, DEFAULTS)
                made[group] = node

    def options(self, group: str, axis: Axis) -> list[Option]:
        """Return the requested options of a group, under distinct names.

        Raises:
            BadInputError: an option or key is unknown, or a value is missing.
        """
        made = [(choice, alone(group, choice)) for choice in axis.choices()]
        choices = list(dict.fromkeys(choice for _, each in made for choice in each))
        options = [self.option(group, name, overrides) for name, overrides in choices]
        for key, values in axis.inside.items():
            check_point(key, values, options)
        for option in options:
            check_config(option.config)  # all that can be checked without torch
        named = dict(zip(choices, told_apart(options, choices), strict=True))
        return [
            one_source([named[own] for own in each], listed_domains(choice))
            for choice, each in made
        ]

    def option(self, group: str, name: str, overrides: tuple[str, ...] = ()) -> Option:
        """Return one option with these overrides applied."""
        key = (group, name, overrides)
        if key not in self._options:
            self._options[key] = self._make(group, name, overrides)
        return self._options[key]

    def _make(self, group: str, name: str, overrides: tuple[str, ...]) -> Option:
        placed = self._placed(group, name, overrides)
        parts = [o for o in placed if "@" in o.partition("=")[0]]
        inside = [o for o in placed if o not in parts]
        choice = (f"{group}={name}", *parts)
        typed_there = any("${" in override for override in inside)  # they may refer to anything
        made = self._composed(choice) if typed_there else self._fragment(group, choice)
        whole = copy.deepcopy(made)
        for override in parse([f"++{override}" for override in inside]):
            known = _plain(whole[group])
            path = override.key_or_group.split(".")[1:]
            check_key(path, known, f"{group}={name}")
        for override in parse([f"++{override}" for override in inside]):
            trust.vouch(override.value())
            value = described(override.value())
            other = isinstance(value, dict) and "_target_" in value  # another part replaces it
            OmegaConf.update(whole, override.key_or_group, value, merge=not other, force_add=True)
        _drop_unused(whole[group])
        config = _resolved(whole, group, choice[0])
        trust.vouch(config)  # typed by the user, or in a file of theirs
        typed = frozenset(o.partition("=")[0].partition(".")[2] for o in inside)
        usual = self._usual(whole, name, config) if group == "strategy" else {}
        return Option(display_name(name, config, overrides), finished(config), typed, usual)

    def _usual(self, whole: DictConfig, name: str, config: Config) -> Config:
        """Return this grid's defaults for a strategy, by key.

        Raises:
            BadInputError: they name no strategy, or a key that the strategy does not have.
        """
        key = DEFAULTS
        told: Any = _plain(OmegaConf.masked_copy(whole, key))[key] or {}
        for known in told if isinstance(told, dict) else ():
            check_known(f"strategy in {key}", known, self.names("strategy"))
        if not isinstance(told, dict) or not all(isinstance(v, dict) for v in told.values()):
            raise BadInputError(
                f"{key}={told}: give values by strategy and argument, as in "
                f"{key}={{{name}: {{lr_factor: 3}}}}"
            )
        for path in told.get(name, {}):
            *outer, _ = steps = path.split(".")
            check_key(steps, config, f"{key}.{name}")
            if not isinstance(reduce(lambda node, step: node and node[step], outer, config), dict):
                raise BadInputError(f"{key}.{name}.{path}: there is nothing inside {outer[-1]}")
        return dict(told.get(name, {}))

    def _placed(self, group: str, name: str, overrides: tuple[str, ...]) -> tuple[str, ...]:
        """Return the overrides, moved to where the option has their keys.

        An option that `about.wraps` another part, as a placebo wraps its source, accepts overrides
        for both alike: a key that it does not have itself belongs to the inner part, and so does
        `seed=block`, which is about training.
        """
        if not overrides:
            return overrides
        node = _plain(self._fragment(group, (f"{group}={name}",))[group])
        inner = (node.get("about") or {}).get("wraps")
        if inner is None:
            return overrides
        own = rf"(?:{'|'.join(map(str, node))})\b(?!=block$)"
        place = re.compile(rf"^((?:\w+@)?{group}\.)(?!{own})")
        return tuple(place.sub(rf"\g<1>{inner}.", override) for override in overrides)

    def _fragment(self, group: str, choice: tuple[str, ...]) -> DictConfig:
        """Return the composed group of a choice, or the whole config if it may refer to it."""
        if choice not in self._fragments:
            whole = self._composed(choice)
            keys = list(map(str, whole)) if _refers_out(_plain(whole[group])) else [group, DEFAULTS]
            self._fragments[choice] = OmegaConf.masked_copy(whole, keys)
        return self._fragments[choice]

    def _composed(self, choice: tuple[str, ...]) -> DictConfig:
        """Return the whole config of this choice, unresolved and without Hydra's own node."""
        if choice not in self._wholes:
            try:
                whole = self._load(choice)
            except YAMLError as error:
                raise BadInputError(f"{choice[0]}: broken YAML: {as_line(error)}") from error
            except (HydraException, OmegaConfBaseException) as error:
                group, _, name = choice[0].partition("=")
                places = [element.path for element in self.loader.get_search_path().get_path()]
                check_known(group, name, self.names(group), other_names(group, places))
                raise BadInputError(f"{' '.join(choice)}: {first_line(error)}") from error
            self._wholes[choice] = whole
        return self._wholes[choice]

    def _load(self, choice: Sequence[str]) -> DictConfig:
        overrides = [*self.settings, *choice]
        try:
            whole = self.loader.load_configuration(self.config_name, overrides, RunMode.RUN)
        except HydraException as error:
            absent = _ABSENT_PART.search(str(error))
            plain = [part for part in choice if absent and part.startswith(f"{absent[1]}=")]
            if not plain:
                raise
            return self._load([f"+{o}" if o in plain else o for o in choice])
        with flag_override(whole, ["struct", "readonly"], False):
            whole.pop("hydra", None)
        return whole


def _plain(node: DictConfig) -> dict[str, Any]:
    """Return a config as plain values, unresolved."""
    plain = OmegaConf.to_container(node, resolve=False)
    assert isinstance(plain, dict)
    return plain  # type: ignore[return-value]


def _refers_out(node: Any, depth: int = 0) -> bool:
    """Return whether an unresolved fragment interpolates a value from outside itself.

    Args:
        node: the fragment, or a part of it.
        depth: how many levels below the fragment it lies; one dot more than that leads outside.
    """
    if isinstance(node, dict):
        return any(_refers_out(inner, depth + 1) for inner in node.values())
    if isinstance(node, list):
        return any(_refers_out(inner, depth + 1) for inner in node)
    if not isinstance(node, str):
        return False
    return any(not env and not 0 < len(dots) <= depth for env, dots in _INTERPOLATION.findall(node))


def _drop_unused(node: DictConfig) -> None:
    """Set a missing shortcut to None if nothing uses it: a user's own part has no `model`."""
    shortcuts = (node.get("about") or {}).get("shortcuts", ())
    if missing := [key for key in shortcuts if OmegaConf.is_missing(node, key)]:
        written = OmegaConf.to_yaml(node)
        for key in missing:
            if not re.search(rf"\$\{{\.+{key}\}}", written):
                node[key] = None


def _resolved(whole: DictConfig, group: str, choice: str) -> Config:
    try:
        node = OmegaConf.to_container(whole[group], resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        lacking = [
            f"{group}.{key}" for key in whole[group] if OmegaConf.is_missing(whole[group], key)
        ]
        lacking = lacking or [str(error.full_key or first_line(error))]
        told = " ".join(f"{key}=..." for key in lacking)
        raise BadInputError(f"{choice} also needs {told}") from error
    except OmegaConfBaseException as error:
        raise BadInputError(f"{choice}: {first_line(error)}") from error
    assert isinstance(node, dict)
    return node  # type: ignore[return-value]


def check_point(key: str, values: Sequence[str], options: Sequence[Option]) -> None:
    """Raise if `0,5` is typed for a number that may be a fraction: 0.5, or 0 and 5?

    Raises:
        BadInputError: it is; the message shows both ways to write it.
    """
    if len(values) != 2 or values[0] != "0" or not values[1].isdecimal() or "@" in key:
        return
    *path, name = key.split(".")[1:]
    for option in options:
        node: Any = option.config
        for word in path:
            node = node.get(word) if isinstance(node, dict) else None
        target = str(node.get("_target_")) if isinstance(node, dict) else ""
        known = parameters(target).get(name)
        if known is not None and takes_fractions(known.annotation):
            raise BadInputError(
                f"{key}=0,{values[1]} is two values: write {key}=0.{values[1]} for one number, or "
                f"{key}=0.0,{values[1]} for two"
            )


def described(value: Any) -> Any:
    """Return a typed part with its class's `about` added: versions, paths, contents."""
    if not isinstance(value, dict):
        return value
    node = {key: described(inner) for key, inner in value.items()}
    if "_target_" in node and "about" not in node:
        about = getattr(locate(str(node["_target_"])), "about", None)
        return {**node, **({"about": about()} if about else {})}
    return node


def finished(config: Any) -> Any:
    """Return a resolved fragment as constructor arguments: no shortcuts, absolute paths only."""
    if isinstance(config, list):
        return [finished(item) for item in config]
    if not isinstance(config, dict):
        return config
    about = config.get("about") or {}
    kept = {k: finished(v) for k, v in config.items() if k not in about.get("shortcuts", ())}
    for key in about.get("paths", ()):
        if kept.get(key) and not is_packaged(kept[key]):
            kept[key] = str(at_home(kept[key]).absolute())
    return kept
