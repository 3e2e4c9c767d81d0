"""Whose word is code: the parts that this program ships, and what the user named; the rest is data.

A config may have been read from a ledger, a model folder, a worker's order or a table that somebody
else wrote, and it may name anything under `_target_`. Nothing of that is imported, called or looked
for unless it is

- a `Part` that this package ships, in the module that defines it;
- what the user's own command line and configs name, to the letter (`vouch`);
- a class defined in a module or package that the user allows by name (`allow`, `--allow`).

Every import of a named class goes through `factory.locate`, which asks here first.
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
"""Keys whose values name code: of a part to build, and of what a part imports itself."""

_named: dict[str, None] = {}
"""Dotted names of the user's, in the order in which he gave them."""


class ForeignNameError(BadInputError):
    """Something that was read names code that is neither shipped nor allowed."""


def allow(names: str | Iterable[str]) -> None:
    """Take modules, packages or classes for the user's own.

    Args:
        names: dotted names, or a text of several with commas between them.

    Raises:
        BadInputError: one is no dotted name.
    """
    words = names.split(",") if isinstance(names, str) else list(names)
    for word in words:
        name = str(word).strip()
        if not _is_dotted(name):
            raise BadInputError(f"--allow {word}: give the name of a module, as in my_strategies")
        _named[name] = None


def vouch(config: Any) -> None:
    """Take all that a config names for the user's own: he typed it, or wrote the file."""
    _named.update({str(name): None for _, name in targets(config) if not _is_ours(name)})


def allowed() -> list[str]:
    """Return what the user named, for a process that is to trust the same.

    A class inside a function has no name by which another process would find it.
    """
    return list(filter(_is_dotted, _named))


def forget() -> None:
    """Trust nothing any more but what this program ships."""
    _named.clear()


def check(config: Any, where: str = "") -> None:
    """Raise unless everything that a config names may be imported.

    Args:
        config: plain values, read from anywhere.
        where: what is read, such as a file; put in front of the message.

    Raises:
        ForeignNameError: it names something else; the message says what and under which key.
    """
    for key, target in targets(config):
        if not _may(target):
            raise _refusal(target, f"{where}: {key}" if where else key)


def check_name(target: object) -> str:
    """Return a target that may be imported, at the place where it lies now.

    Raises:
        ForeignNameError: it may not.
    """
    if not _may(target):
        raise _refusal(target, "_target_")
    return located(str(target)) or str(target)


def check_found(target: str, found: object) -> None:
    """Raise unless what a target led to is what may be called.

    Raises:
        ForeignNameError: it is no class, or one that is merely imported into an allowed module.
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
    """Yield the key and the value of every `_target_` and `_imports_` in a config, however deep."""
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
    """Return the file that defines a target, found without importing anything.

    None for what may not be imported, and for what is not there.
    """
    if not _may(target):
        return None
    module = (located(str(target)) or str(target)).rpartition(".")[0]
    if _is_ours(target):
        return file_of(module)
    spec = _found(module)
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None


def see_working_directory() -> None:
    """Let the user's own modules be found in the folder that he works in.

    It is on the path only from then on: what lies in a folder of somebody's results must not stand
    in for a library.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def leave_working_directory() -> None:
    """Take the working directory off the path, where `python -m` put it unasked."""
    first = sys.path[0] if sys.path else None
    if first is None or sys.flags.safe_path or Path(first).absolute() != Path.cwd():
        return
    if HERE.parent != Path.cwd():  # the package itself is found there
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
    """Return where a module lies, by names of folders and files alone.

    `importlib.util.find_spec` would import the packages that a module lies in.
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
