"""Build objects from plain configs, and describe objects as plain configs.

A *config* is a dict of JSON values. A node with `_target_` names a class and holds its constructor
arguments; a node's `about` describes it to readers and planners and never reaches the constructor.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfergrid.records import trust
from transfergrid.records.arguments import check_arguments
from transfergrid.records.errors import BadInputError, did_you_mean
from transfergrid.records.shipped import OURS

Config = dict[str, Any]
BESIDE = ("_target_", "about")
"""Keys of a node that are not arguments of the constructor."""


def locate(target: str) -> Any:
    """Import the object that a dotted path names, if it is trusted; see `trust`.

    Raises:
        BadInputError: it is not trusted, or the module or the name in it does not exist.
    """
    place = trust.check_name(target)
    module_name, _, name = place.rpartition(".")
    if not module_name.startswith(f"{OURS}."):
        trust.see_working_directory()
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        missing = error.name or ""
        if module_name != missing and not module_name.startswith(missing + "."):
            raise  # the module exists, but something that it imports does not
        raise BadInputError(f"cannot import {target}: {error}") from error
    if not hasattr(module, name):
        raise BadInputError(f"{module_name} has no {name}{did_you_mean(name, dir(module))}")
    found = getattr(module, name)
    trust.check_found(target, found)
    return found


def build(config: Any) -> Any:
    """Build the object that a config describes, its parts first.

    Raises:
        BadInputError: a class is not trusted, does not exist, or does not accept its arguments.
    """
    trust.check(config)  # the whole config, before anything is imported
    return _built(config)


def _built(config: Any) -> Any:
    if isinstance(config, Mapping):
        parts = {key: _built(value) for key, value in config.items() if key not in BESIDE}
        target = config.get("_target_")
        return parts if target is None else _construct(target, parts)
    if isinstance(config, (list, tuple)):
        return [_built(item) for item in config]
    return config


def _construct(target: str, arguments: Config) -> Any:
    cls = locate(target)
    known = inspect.signature(cls).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        for key in arguments:
            if key not in known:
                raise BadInputError(f"{target} takes no {key!r}{did_you_mean(key, known)}")
    missing = [p.name for p in known.values() if p.default is p.empty and p.name not in arguments]
    missing = [name for name in missing if known[name].kind not in (2, 4)]  # *args, **kwargs
    if missing:
        raise BadInputError(f"{target} also needs {', '.join(missing)}")
    check_arguments(cls, arguments)
    try:
        return cls(**arguments)
    except ValueError as error:
        raise BadInputError(f"{cls.__qualname__}: {error}") from error


def target_of(cls: type) -> str:
    """Return the dotted path under which `build` finds this class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def config_of(component: Any) -> Any:
    """Return the plain config of a component, from which `build` makes an equal component.

    Dataclasses are described by their fields, other components by their `hparams`. Their classes
    become trusted, because the caller has already imported them.
    """
    if isinstance(component, Path):
        return str(component)
    if isinstance(component, Mapping):
        return {str(key): config_of(value) for key, value in component.items()}
    if isinstance(component, (list, tuple)):
        return [config_of(item) for item in component]
    if component is None or isinstance(component, (bool, int, float, str)):
        return component
    if dataclasses.is_dataclass(component):
        values = {f.name: getattr(component, f.name) for f in dataclasses.fields(component)}
    else:
        values = dict(component.hparams)
    described = {"_target_": target_of(type(component)), **config_of(values)}
    trust.vouch(described)
    about = getattr(type(component), "about", None)
    return {**described, "about": about()} if about else described


def undescribed(config: Any) -> Any:
    """Return a config without the `about` blocks of its parts."""
    if isinstance(config, dict):
        return {key: undescribed(value) for key, value in config.items() if key != "about"}
    return [undescribed(item) for item in config] if isinstance(config, list) else config
