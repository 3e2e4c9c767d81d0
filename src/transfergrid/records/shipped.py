"""The parts that this package ships and the arguments they take, found by parsing source files.

Nothing is imported, for two reasons: importing the parts would import torch, which is slow; and
`trust` asks this module whether a name may be imported at all. A test compares the results with the
classes themselves.
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
"""Names that a checkable annotation may use, besides names that our own modules assign or import.
An annotation with any other name is not checked."""


def conf_dir() -> Path:
    """Return the folder of the shipped configs, in the installed package or in the checkout."""
    inside = HERE / "conf"
    return inside if inside.is_dir() else HERE.parents[1] / "conf"


@dataclass(frozen=True)
class Parameter:
    """One argument of a constructor; its annotation is Any if values cannot be checked by it."""

    annotation: object
    required: bool


@dataclass(frozen=True)
class _Class:
    """A class as parsed from its file, with its bases in this package; other bases are left out."""

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
    """The names in a file: classes, imports from this package, and assignments."""

    classes: dict[str, ast.ClassDef]
    imported: dict[str, str]
    assigned: dict[str, ast.expr]


@cache
def located(target: str) -> str | None:
    """Return the current dotted path of a shipped part; None if the target is not one.

    Old records name the module in which the class was defined when they were written. A class that
    has moved since is found by its name, which is unique among parts. If the named module still
    defines or imports the name, that object is meant.
    """
    told, _, name = target.rpartition(".")
    if told.partition(".")[0] != OURS:
        return None
    here = _module(told)
    modules = (told,) if name in here.classes or name in here.imported else _classes().get(name, ())
    places = (f"{module}.{name}" for module in modules)
    return next((place for place in places if _is_defined_part(place)), None)


def _is_defined_part(target: str) -> bool:
    """Return whether a dotted path names a subclass of `Part`, in the module that defines it."""
    line = _line(target)
    return any(kind.target == ROOT for kind in line) and line[0].target == target


def is_part(target: str) -> bool:
    """Return whether a dotted path names a shipped part, by its current or a former module."""
    return located(target) is not None


def name_of(target: str) -> str | None:
    """Return the name of a shipped part, whatever its module; None if the target is not a part.

    It is the name of the class in snake case; for a strategy it is also the name of its option.
    """
    name = target.rpartition(".")[2]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() if is_part(target) else None


@cache
def _classes() -> dict[str, tuple[str, ...]]:
    """Return, for each class name in this package, the modules that define such a class."""
    found: dict[str, tuple[str, ...]] = {}
    for file in sorted(HERE.rglob("*.py")):
        module = ".".join(file.relative_to(HERE.parent).with_suffix("").parts)
        for name in re.findall(r"^class (\w+)", file.read_text(encoding="utf-8"), re.MULTILINE):
            found[name] = (*found.get(name, ()), module.removesuffix(".__init__"))
    return found


@cache
def strategies() -> dict[str, str]:
    """Return the dotted path of every shipped strategy's class, by the name of its option."""
    found = {}
    for file in sorted((HERE / "strategies").glob("*/[a-z]*.py")):
        module = f"{OURS}.strategies.{file.parent.name}.{file.stem}"
        for target in (f"{module}.{name}" for name in _module(module).classes):
            if name_of(target) == file.stem:
                found[file.stem] = target
    return found


def file_of(module: str) -> Path | None:
    """Return the source file of a module of this package; None if there is none."""
    first, *words = module.split(".")
    if first != OURS or not words or not all(word.isidentifier() for word in words):
        return None
    place = HERE.joinpath(*words)
    files = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in files if file.is_file()), None)


@cache
def parameters(target: str) -> dict[str, Parameter]:
    """Return the constructor's parameters of a shipped class, by name; see `arguments.taken_by`."""
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
    """Return the config group of a shipped class; see `Part.group`."""
    for kind in _line(target):
        for node in kind.node.body:
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "group":
                return str(ast.literal_eval(node.value)) if node.value else ""
    return ""


def takes_fractions(annotation: object) -> bool:
    """Return whether an annotation accepts fractional numbers."""
    return any(base_of(kind) is float for kind in kinds(annotation))


def _fields(line: tuple[_Class, ...]) -> dict[str, Parameter]:
    """Return the fields of a dataclass by name; fields of its bases come first."""
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
    """Return an annotation as a type, if values can be checked against it; otherwise Any."""
    meaning = _meaning(told, module)
    return meaning if is_plain(meaning) else Any


def _meaning(told: ast.expr | None, module: str) -> Any:
    """Return an annotation as a type, if it uses known names only; otherwise Any."""
    if told is None:
        return Any
    names = {node.id for node in ast.walk(told) if isinstance(node, ast.Name)}
    known = {name: _named(module, name) for name in names}
    if any(meaning is Any for name, meaning in known.items() if name != "Any"):
        return Any
    return eval(ast.unparse(told), {"__builtins__": {}}, known)  # only text of our own files


@cache
def _named(module: str, name: str) -> Any:
    """Return what a name means in a module of this package; Any if that cannot be checked."""
    here = _module(module)
    if name in _KINDS:
        return _KINDS[name]
    if name in here.assigned:
        return _meaning(here.assigned[name], module)
    home, _, own = here.imported.get(name, "").rpartition(".")
    return _named(home, own) if home else Any


def _line(target: str) -> tuple[_Class, ...]:
    """Return a class and its base classes in this package, nearest first."""
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
    if name not in here.classes:  # the module may re-export it
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
