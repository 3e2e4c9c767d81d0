"""What the constructors of shipped parts would refuse, told before any of them is imported.

A strategy is built where torch is, some twenty seconds after a command was typed. But the types of
its arguments, and the conditions that its constructor begins with, stand in its source file: these
are read (see `shipped`) and applied to the values that were typed. The constructors go on checking
for themselves; a test holds both against each other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from transfergrid.records.arguments import check_values
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.shipped import constructors, group_of, parameters
from transfergrid.records.training import SCHEDULES

_KNOWN = {"check_known": check_known, "BadInputError": BadInputError, "SCHEDULES": SCHEDULES}
"""What conditions may name beside arguments. Whatever names anything else is left to the class."""


def check_config(config: Any) -> None:
    """Raise what building a config would, as far as types and plain conditions tell.

    Raises:
        BadInputError: a value is of another type than a shipped part takes, or impossible.
    """
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key != "about":
                check_config(value)
        if isinstance(config.get("_target_"), str):
            values = {k: v for k, v in config.items() if k not in ("_target_", "about")}
            _check_part(config["_target_"], values)
    elif isinstance(config, (list, tuple)):
        for item in config:
            check_config(item)


def _check_part(target: str, values: Mapping[str, Any]) -> None:
    known = parameters(target)
    plain = {name: parameter.annotation for name, parameter in known.items()}
    check_values(target.rpartition(".")[2], group_of(target), plain, values)
    given = {name: value for name, value in values.items() if name in known}
    for told in constructors(target):
        given = {**_defaults(told), **given}
        for condition in _conditions(told):
            _obey(condition, given)
        handed_on = _handed_on(told, given)
        if handed_on is None:
            return
        given = handed_on


def _defaults(told: ast.FunctionDef) -> dict[str, Any]:
    names = [argument.arg for argument in told.args.args]
    found = {}
    for name, value in zip(names[::-1], told.args.defaults[::-1], strict=False):
        with suppress(ValueError):  # more than a plain value
            found[name] = ast.literal_eval(value)
    return found


def _conditions(told: ast.FunctionDef) -> Iterator[ast.stmt]:
    """Yield the statements of a constructor that do nothing but refuse."""
    for node in told.body:
        refuses = isinstance(node, ast.If) and all(isinstance(n, ast.Raise) for n in node.body)
        nests = isinstance(node, ast.If) and all(_is_check(n) for n in node.body)
        if not getattr(node, "orelse", None) and (refuses or nests or _is_check(node)):
            yield node


def _is_check(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("check_known(")


def _obey(condition: ast.stmt, given: Mapping[str, Any]) -> None:
    """Run a condition if it names nothing but arguments that are given here."""
    names = {node.id for node in ast.walk(condition) if isinstance(node, ast.Name)}
    calls = {ast.unparse(n.func) for n in ast.walk(condition) if isinstance(n, ast.Call)}
    if names <= {*given, *_KNOWN} and calls <= {*_KNOWN}:
        code = compile(ast.Module([condition], type_ignores=[]), "a constructor", "exec")
        exec(code, {"__builtins__": {}, **_KNOWN, **given})  # a few lines of our own files


def _handed_on(told: ast.FunctionDef, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments that a constructor hands on as they are; None if it hands on none."""
    for node in ast.walk(told):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__":
            place = [a.id if isinstance(a, ast.Name) else "" for a in node.args]
            same = {
                k.arg: k.value.id for k in node.keywords if k.arg and isinstance(k.value, ast.Name)
            }
            same |= {name: name for name in place}
            return {key: given[name] for key, name in same.items() if name in given}
    return None
