"""Which names in configs may be imported: shipped parts, and names that the user trusts.

A config may come from a ledger, a model folder, a worker's order or a table that somebody else
wrote, and may contain any name under `_target_`. Such a name is not imported, called or searched
for, unless it is

- a `Part` that this package ships, in the module that defines it;
- exactly a name in the user's own command line or configs (`vouch`);
- a class defined in a module or package that the user allows by name (`allow`, `--allow`).

Every import of a named class goes through `factory.locate`, which asks this module first.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from transfergrid.records.errors import BadInputError
from transfergrid.records.shipped import HERE, OURS, file_of, is_part, located

NAMING = ("_target_", "_imports_")
"""Keys whose values name code: the class of a part, and a name that a part imports itself."""

_named: dict[str, None] = {}
"""Dotted names that the user trusts, in the order in which they were given."""


class ForeignNameError(BadInputError):
    """A config names code that is neither shipped nor allowed."""


def allow(names: str | Iterable[str]) -> None:
    """Trust modules, packages or classes.

    Args:
        names: dotted names, or one text of names separated by commas.

    Raises:
        BadInputError: one of them is not a dotted name.
    """
    words = names.split(",") if isinstance(names, str) else list(names)
    for word in words:
        name = str(word).strip()
        if not _is_dotted(name):
            raise BadInputError(f"--allow {word}: give the name of a module, as in my_strategies")
        _named[name] = None


def vouch(config: Any) -> None:
    """Trust all names in a config, because the user typed it or wrote the file."""
    _named.update({str(name): None for _, name in targets(config) if not _is_ours(name)})


def allowed() -> list[str]:
    """Return the trusted names, to pass them to another process.

    Names of classes inside functions are left out, because another process could not import them.
    """
    return list(filter(_is_dotted, _named))


def forget() -> None:
    """Forget all trusted names; only shipped parts are trusted then."""
    _named.clear()


def check(config: Any, where: str = "") -> None:
    """Raise unless every name in a config is trusted.

    Args:
        config: plain values from any origin.
        where: the origin, such as a file; it begins the message.

    Raises:
        ForeignNameError: a name is not trusted; the message gives the name and its key.
    """
    for key, target in targets(config):
        if not _may(target):
            raise _refusal(target, f"{where}: {key}" if where else key)


def check_name(target: object) -> str:
    """Return the current dotted path of a trusted target.

    Raises:
        ForeignNameError: it is not trusted.
    """
    if not _may(target):
        raise _refusal(target, "_target_")
    return located(str(target)) or str(target)


def check_found(target: str, found: object) -> None:
    """Raise unless the object found under a target may be called.

    An object whose exact name the user trusts may always be called.

    Raises:
        ForeignNameError: it is not a class, or a class that a trusted module merely imports.
    """
    if target in _named:
        return
    defined_in = found.__module__ if isinstance(found, type) else ""
    if not any(_lies_in(defined_in, name) for name in (OURS, *_named)):
        raise ForeignNameError(
            f"{target} is no class that is defined there: it is not called; a function of yours is "
            f"allowed by its whole name, --allow {target}"
        )


def targets(config: Any, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the key and the value of every `_target_` and `_imports_` in a config, at any depth."""
    waiting = [(prefix, config)]
    while waiting:
        place, node = waiting.pop()
        if isinstance(node, Mapping):
            for key in NAMING:
                if node.get(key) is not None:
                    yield _joined(place, key), node[key]
            waiting += [(_joined(place, key), value) for key, value in node.items()]
        elif isinstance(node, (list, tuple)):
            waiting += [(_joined(place, i), value) for i, value in enumerate(node)]


def source_file(target: object) -> Path | None:
    """Return the source file that defines a target, found without importing it.

    None if the target is not trusted, or if no file is found.
    """
    if not _may(target):
        return None
    module = (located(str(target)) or str(target)).rpartition(".")[0]
    if _is_ours(target):
        return file_of(module)
    spec = _found(module)
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None


def see_working_directory() -> None:
    """Put the working directory on the import path, so that the user's own modules are found.

    It is added only when needed, because a file in somebody else's folder of results must not be
    imported in place of a library.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def leave_working_directory() -> None:
    """Remove the working directory from the import path, where `python -m` puts it by default."""
    first = sys.path[0] if sys.path else None
    if first is None or sys.flags.safe_path or Path(first).absolute() != Path.cwd():
        return
    if HERE.parent != Path.cwd():  # otherwise this package itself is imported from there
        del sys.path[0]


def _may(target: object) -> bool:
    if not isinstance(target, str) or not _is_dotted(target) or "." not in target:
        return False
    if _is_ours(target):
        return is_part(target)
    return any(_lies_in(target, name) for name in _named)


def _refusal(target: object, where: str) -> ForeignNameError:
    if not isinstance(target, str) or not _is_dotted(target) or "." not in target:
        return ForeignNameError(f"{where}: {str(target)[:200]!r} is no dotted path to a class")
    said = f"{where} names {target[:200]}, no part of transfergrid: it is not imported"
    top = target.partition(".")[0]
    is_users = top != OURS and top not in sys.stdlib_module_names
    return ForeignNameError(f"{said}; if it is yours, add --allow {top}" if is_users else said)


def _is_ours(target: object) -> bool:
    return _lies_in(str(target), OURS)


def _lies_in(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _is_dotted(name: str) -> bool:
    return all(word.isidentifier() for word in name.split("."))


def _joined(place: str, key: object) -> str:
    return f"{place}.{key}" if place else str(key)


@cache
def _found(module: str) -> ModuleSpec | None:
    """Return the spec of a module, found by the names of folders and files only.

    `importlib.util.find_spec` with a dotted name would import the parent packages.
    """
    top, *rest = module.split(".")
    see_working_directory()
    try:
        spec = importlib.util.find_spec(top)
        name = top
        for word in rest:
            name = f"{name}.{word}"
            places = spec.submodule_search_locations if spec else None
            spec = PathFinder.find_spec(name, list(places)) if places else None
    except (ImportError, ValueError):
        return None
    return spec
