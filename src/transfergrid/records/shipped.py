"""What this program ships as parts, and what they take: read from its source files.

Nothing is imported: that would take as long as torch does, and whether a name may be imported at
all is asked here (see `trust`). A test holds what is read against the classes themselves.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Optional, Union, get_args

HERE = Path(__file__).parents[1]
OURS = "transfergrid"
ROOT = f"{OURS}.records.component.Part"
_KINDS = {
    **{kind.__name__: kind for kind in (bool, int, float, str)},
    "Literal": Literal,
    "Optional": Optional,
    "Union": Union,
}
"""Names that a plain annotation is made of; any other one says nothing that can be checked."""


def conf_dir() -> Path:
    """Return the folder of the shipped configs: inside the installed package, or the checkout's."""
    inside = HERE / "conf"
    return inside if inside.is_dir() else HERE.parents[1] / "conf"


@dataclass(frozen=True)
class Parameter:
    """One argument of a constructor: its annotation as a type, Any if that is not a plain one."""

    annotation: object
    required: bool


@dataclass(frozen=True)
class _Class:
    """A class as its file defines it; bases of other libraries are left out."""

    target: str
    node: ast.ClassDef
    bases: tuple[str, ...]

    @property
    def is_dataclass(self) -> bool:
        return any("dataclass" in ast.unparse(d) for d in self.node.decorator_list)


@cache
def located(target: str) -> str | None:
    """Return the dotted path at which a shipped part lies now; None for what is none.

    A part is known by the name of its class, which no other one bears: records tell where its file
    lay when they were written. A module that has something of this name means that.
    """
    told, _, name = target.rpartition(".")
    if told.partition(".")[0] != OURS:
        return None
    defined, imported = _module(told)
    modules = (told,) if name in defined or name in imported else _classes().get(name, ())
    places = (f"{module}.{name}" for module in modules)
    return next((place for place in places if _is_defined_part(place)), None)


def _is_defined_part(target: str) -> bool:
    """Return whether a dotted path names a class of a part, in the module that defines it."""
    return any(kind.target == ROOT for kind in _line(target))


def is_part(target: str) -> bool:
    """Return whether a dotted path names a class of a part, where it lies or where it once lay."""
    return located(target) is not None


def name_of(target: str) -> str | None:
    """Return what a shipped part is called wherever its file lies; None for a class that is none.

    That is the class's name in small letters, which for a strategy is its option's name.
    """
    name = target.rpartition(".")[2]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() if is_part(target) else None


@cache
def _classes() -> dict[str, tuple[str, ...]]:
    """Return the modules that define a class, by its name."""
    found: dict[str, tuple[str, ...]] = {}
    for file in sorted(HERE.rglob("*.py")):
        module = ".".join(file.relative_to(HERE.parent).with_suffix("").parts)
        for name in re.findall(r"^class (\w+)", file.read_text(encoding="utf-8"), re.MULTILINE):
            found[name] = (*found.get(name, ()), module.removesuffix(".__init__"))
    return found


@cache
def strategies() -> dict[str, str]:
    """Return the dotted path of every shipped strategy's class, by its option's name."""
    found = {}
    for file in sorted((HERE / "strategies").glob("*/[a-z]*.py")):
        module = f"{OURS}.strategies.{file.parent.name}.{file.stem}"
        for target in (f"{module}.{name}" for name in _module(module)[0]):
            if name_of(target) == file.stem:
                found[file.stem] = target
    return found


def file_of(module: str) -> Path | None:
    """Return the file of a module of this package; None if there is none."""
    first, *words = module.split(".")
    if first != OURS or not words or not all(word.isidentifier() for word in words):
        return None
    place = HERE.joinpath(*words)
    files = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in files if file.is_file()), None)


@cache
def parameters(target: str) -> dict[str, Parameter]:
    """Return what the constructor of a shipped class takes, by name."""
    for place, kind in enumerate(line := _line(target)):
        if kind.is_dataclass:
            return _fields(line[place:])
        for node in kind.node.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                own = dict(_arguments(node.args))
                behind = line[place + 1 :] if node.args.kwarg else ()  # takes what its base takes
                return own | (parameters(behind[0].target) if behind else {})
    return {}


def constructors(target: str) -> list[ast.FunctionDef]:
    """Return the constructors of a shipped class and of ours that it inherits from, nearest first.

    Those of dataclasses are not written down, and not among them.
    """
    body = [node for kind in _line(target) for node in kind.node.body]
    return [n for n in body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]


def takes_fractions(annotation: object) -> bool:
    """Return whether an annotation takes numbers that are not whole."""
    return float in (get_args(annotation) or (annotation,))


def _fields(line: tuple[_Class, ...]) -> dict[str, Parameter]:
    """Return the fields of a dataclass, those of its bases first."""
    found: dict[str, Parameter] = {}
    kinds = [kind for kind in reversed(line) if kind.is_dataclass]
    declared = [n for kind in kinds for n in kind.node.body if isinstance(n, ast.AnnAssign)]
    for node in declared:
        if not ast.unparse(node.annotation).startswith("ClassVar"):
            name = ast.unparse(node.target)
            found[name] = Parameter(_plain(node.annotation), required=node.value is None)
    return found


def _arguments(told: ast.arguments) -> Iterator[tuple[str, Parameter]]:
    usual = [*told.posonlyargs, *told.args]
    optional = {a.arg for a in usual[len(usual) - len(told.defaults) :]}
    optional |= {a.arg for a, d in zip(told.kwonlyargs, told.kw_defaults, strict=True) if d}
    for argument in [*usual[1:], *told.kwonlyargs]:  # without `self`
        yield argument.arg, Parameter(_plain(argument.annotation), argument.arg not in optional)


def _plain(annotation: ast.expr | None) -> object:
    names = {n.id for n in ast.walk(annotation) if isinstance(n, ast.Name)} if annotation else {""}
    if annotation is None or not names <= _KINDS.keys():
        return Any
    return eval(ast.unparse(annotation), {"__builtins__": {}}, dict(_KINDS))  # of our own files


def _line(target: str) -> tuple[_Class, ...]:
    """Return a class and those of ours that it inherits from, nearest first."""
    found: dict[str, _Class] = {}
    waiting = [target]
    while waiting:
        kind = _class(waiting.pop(0))
        if kind is not None and kind.target not in found:
            found[kind.target] = kind
            waiting += kind.bases
    return tuple(found.values())


@cache
def _class(target: str) -> _Class | None:
    module, _, name = target.rpartition(".")
    nodes, imported = _module(module)
    if name not in nodes:
        return None
    written = [ast.unparse(base).partition("[")[0] for base in nodes[name].bases]
    local = {own: f"{module}.{own}" for own in nodes}
    bases = [{**imported, **local}.get(base, "") for base in written]
    return _Class(target, nodes[name], tuple(base for base in bases if base))


@cache
def _module(module: str) -> tuple[dict[str, ast.ClassDef], dict[str, str]]:
    """Return the classes that a module defines, and what it has from others of ours, by name."""
    file = file_of(module)
    if file is None:
        return {}, {}
    body = ast.parse(file.read_text(encoding="utf-8")).body
    imports = [node for node in body if isinstance(node, ast.ImportFrom) and node.level == 0]
    return {node.name: node for node in body if isinstance(node, ast.ClassDef)}, {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in imports
        if str(node.module).startswith(f"{OURS}.")
        for alias in node.names
    }
