"""What this program ships as parts, and what they take: read from its source files.

Nothing is imported: that would take as long as torch does, and whether a name may be imported at
all is asked here (see `trust`). A test holds what is read against the classes themselves.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

from annotated_types import DocInfo, Ge, Gt, Interval, Len, MinLen, Unit

from transfergrid.records.arguments import base_of, is_plain, kinds

HERE = Path(__file__).parents[1]
OURS = "transfergrid"
ROOT = f"{OURS}.records.component.Part"
_KINDS = {
    **{
        kind.__name__: kind
        for kind in (bool, int, float, str, DocInfo, Ge, Gt, Interval, Len, MinLen, Unit)
    },
    "Annotated": Annotated,
    "Any": Any,
    "doc": DocInfo,
    "Literal": Literal,
    "Mapping": Mapping,
    "Optional": Optional,
    "Sequence": Sequence,
    "Union": Union,
}
"""Names that a plain annotation is made of, beside what modules of ours call by a name of theirs;
any other one says nothing that can be checked."""


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
    def module(self) -> str:
        return self.target.rpartition(".")[0]

    @property
    def is_dataclass(self) -> bool:
        return any("dataclass" in ast.unparse(d) for d in self.node.decorator_list)


class _Module(NamedTuple):
    """What a file defines, and what it has from other files of ours, by name."""

    classes: dict[str, ast.ClassDef]
    imported: dict[str, str]
    assigned: dict[str, ast.expr]


@cache
def located(target: str) -> str | None:
    """Return the dotted path at which a shipped part lies now; None for what is none.

    A part is known by the name of its class, which no other one bears: records tell where its file
    lay when they were written. A module that has something of this name means that.
    """
    told, _, name = target.rpartition(".")
    if told.partition(".")[0] != OURS:
        return None
    here = _module(told)
    modules = (told,) if name in here.classes or name in here.imported else _classes().get(name, ())
    places = (f"{module}.{name}" for module in modules)
    return next((place for place in places if _is_defined_part(place)), None)


def _is_defined_part(target: str) -> bool:
    """Return whether a dotted path names a class of a part, in the module that defines it."""
    line = _line(target)
    return any(kind.target == ROOT for kind in line) and line[0].target == target


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
        for target in (f"{module}.{name}" for name in _module(module).classes):
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
    """Return what the constructor of a shipped class takes, by name; see `arguments.taken_by`."""
    found: dict[str, Parameter] = {}
    for place, kind in enumerate(line := _line(target)):
        if kind.is_dataclass:
            return _fields(line[place:]) | found
        for node in (n for n in kind.node.body if isinstance(n, ast.FunctionDef)):
            if node.name == "__init__":
                found = dict(_arguments(node.args, kind.module)) | found
                if node.args.kwarg is None:
                    return found
    return found


@cache
def group_of(target: str) -> str:
    """Return what errors put before the arguments of a shipped class: see `Part.group`."""
    for kind in _line(target):
        for node in kind.node.body:
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "group":
                return str(ast.literal_eval(node.value)) if node.value else ""
    return ""


def takes_fractions(annotation: object) -> bool:
    """Return whether an annotation takes numbers that are not whole."""
    return any(base_of(kind) is float for kind in kinds(annotation))


def _fields(line: tuple[_Class, ...]) -> dict[str, Parameter]:
    """Return the fields of a dataclass, those of its bases first."""
    found: dict[str, Parameter] = {}
    for kind in (kind for kind in reversed(line) if kind.is_dataclass):
        for node in (n for n in kind.node.body if isinstance(n, ast.AnnAssign)):
            if not ast.unparse(node.annotation).startswith("ClassVar"):
                told = _plain(node.annotation, kind.module)
                found[ast.unparse(node.target)] = Parameter(told, required=node.value is None)
    return found


def _arguments(told: ast.arguments, module: str) -> Iterator[tuple[str, Parameter]]:
    usual = [*told.posonlyargs, *told.args]
    optional = {a.arg for a in usual[len(usual) - len(told.defaults) :]}
    optional |= {a.arg for a, d in zip(told.kwonlyargs, told.kw_defaults, strict=True) if d}
    for argument in [*usual[1:], *told.kwonlyargs]:  # without `self`
        annotation = _plain(argument.annotation, module)
        yield argument.arg, Parameter(annotation, argument.arg not in optional)


def _plain(told: ast.expr | None, module: str) -> Any:
    """Return what an annotation says, if values can be held against it; else Any."""
    meaning = _meaning(told, module)
    return meaning if is_plain(meaning) else Any


def _meaning(told: ast.expr | None, module: str) -> Any:
    """Return what an annotation says, if it is made of known names alone; else Any."""
    if told is None:
        return Any
    names = {node.id for node in ast.walk(told) if isinstance(node, ast.Name)}
    known = {name: _named(module, name) for name in names}
    if any(meaning is Any for name, meaning in known.items() if name != "Any"):
        return Any
    return eval(ast.unparse(told), {"__builtins__": {}}, known)  # of our own files


@cache
def _named(module: str, name: str) -> Any:
    """Return what a name stands for in a module of ours; Any if that is nothing plain."""
    here = _module(module)
    if name in _KINDS:
        return _KINDS[name]
    if name in here.assigned:
        return _meaning(here.assigned[name], module)
    home, _, own = here.imported.get(name, "").rpartition(".")
    return _named(home, own) if home else Any


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
    here = _module(module)
    if name not in here.classes:  # it may be handed on from where it is defined
        return _class(here.imported[name]) if name in here.imported else None
    written = [ast.unparse(base).partition("[")[0] for base in here.classes[name].bases]
    local = {own: f"{module}.{own}" for own in here.classes}
    bases = [{**here.imported, **local}.get(base, "") for base in written]
    return _Class(target, here.classes[name], tuple(base for base in bases if base))


@cache
def _module(module: str) -> _Module:
    file = file_of(module)
    body = ast.parse(file.read_text(encoding="utf-8")).body if file else []
    imports = [node for node in body if isinstance(node, ast.ImportFrom) and node.level == 0]
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in imports
        if str(node.module).startswith(f"{OURS}.")
        for alias in node.names
    }
    assigned = {ast.unparse(n.targets[0]): n.value for n in body if isinstance(n, ast.Assign)}
    classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    return _Module(classes, imported, assigned)
