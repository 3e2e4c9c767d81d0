"""The verb `describe`: write a strategy's config file from its class."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from transfergrid.records import shipped, trust
from transfergrid.records.errors import BadInputError, did_you_mean
from transfergrid.records.factory import config_of, locate
from transfergrid.records.printing import say
from transfergrid.verbs.configs.other_names import other_names
from transfergrid.verbs.parser import Parser

if TYPE_CHECKING:
    from transfergrid.strategies.base import Strategy

KEPT = ("help", "tuning_trials")
"""The keys whose values come from the file only: the author's line of help, and how many settings
were tried."""


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid describe STRATEGY [--write FILE]`."""
    parser = Parser(
        prog="transfergrid describe",
        description="Print a strategy's config file as its class describes it. An existing file "
        "keeps its values and comments; what planning reads, under `about`, is written anew.",
    )
    parser.add_argument("strategy", help="a shipped strategy's name, or MODULE.CLASS of your own")
    parser.add_argument("--write", metavar="FILE", help="write it there instead of printing it")
    chosen = parser.parse_args(arguments)
    kind = class_of(chosen.strategy)
    file = Path(chosen.write) if chosen.write else None
    before = file.read_text(encoding="utf-8") if file is not None and file.exists() else ""
    text = described(kind, before)
    if file is None:
        say(text, end="")
    else:
        file.write_text(text, encoding="utf-8")
    return 0


def class_of(name: str) -> type[Strategy]:
    """Return the class of a shipped strategy by its name, or of a user's own by MODULE.CLASS.

    Raises:
        BadInputError: there is no such class, or it is not a strategy.
    """
    from transfergrid.strategies.base import Strategy

    target = shipped.strategies().get(name, name)
    if "." not in target:
        near = did_you_mean(target, shipped.strategies(), other_names("strategy"))
        near = near if near.endswith("?") else ""
        raise BadInputError(f"{target}: give a shipped strategy's name, or MODULE.CLASS{near}")
    trust.vouch({"_target_": target})  # the user typed it, so it is trusted
    kind: Any = locate(target)
    if not (isinstance(kind, type) and issubclass(kind, Strategy)):
        raise BadInputError(f"{kind} is no strategy")
    return kind


def described(kind: type[Strategy], before: str = "") -> str:
    """Return the config file of a strategy's class.

    Args:
        kind: the class.
        before: the current text of the file; empty for a new one.

    Raises:
        BadInputError: the file is not valid YAML.
    """
    told: dict[str, Any] = kind.about()
    try:
        known = (yaml.safe_load(before) or {}).get("about") or {}
    except (yaml.YAMLError, AttributeError) as error:
        raise BadInputError(f"the file that stands there is no config: {error}") from error
    line = (inspect.getdoc(kind) or kind.__name__).partition("\n")[0].rstrip(".")
    kept: dict[str, Any] = {"help": line, "tuning_trials": 0}
    kept |= {k: known[k] for k in KEPT if k in known}
    values = _moved(re.split(r"(?m)^about:", before)[0].rstrip(), known.get("space") or {}, kind)
    values = "\n".join([values, *_lines(kind, _keys(before))]) if before else _values(kind, kept)
    return f"{values.rstrip()}\n{_about(told, kept)}"


def _moved(values: str, known: Mapping[str, Any], kind: type[Strategy]) -> str:
    """Return a file's values, with the class's new default in place of its old one."""
    given = yaml.safe_load(values) or {}
    for name, told in kind.space.items():
        before = (known.get(name) or {}).get("default")
        if before is not None and before == given.get(name) != told.default:
            new = _flow(config_of(told.default))
            values = re.sub(rf"(?m)^({re.escape(name)}:) [^\s#]+", rf"\g<1> {new}", values)
    return values


def _keys(before: str) -> set[str]:
    """Return the arguments that a file sets, directly or through its `defaults`."""
    told = yaml.safe_load(before)
    parts = [
        place for entry in told.get("defaults", ()) if isinstance(entry, dict) for place in entry
    ]
    return {*told, *(place.partition("@")[2] for place in parts)}


def _values(kind: type[Strategy], kept: Mapping[str, Any]) -> str:
    """Return the head of a new file: the constructor's defaults, commented from its `Args`."""
    line = kept["help"]
    head = [f"# {line[:1].upper()}{line[1:]}.", f"_target_: {kind.__module__}.{kind.__qualname__}"]
    return "\n".join([*head, *_lines(kind)])


def _lines(kind: type[Strategy], there: Collection[str] = ()) -> list[str]:
    """Return a line with the default of each argument that is not there yet."""
    said = dict(re.findall(r"(?m)^ {4}(\w+): (.+)", inspect.getdoc(kind) or ""))
    lines = []
    for name, parameter in inspect.signature(kind).parameters.items():
        if name in there:
            continue
        space = getattr(kind, "space", {})
        value = space[name].default if name in space else parameter.default
        if name == "lr_factor" and value is None:
            value = 1.0  # the meaning of None if the space does not say
        told = "???" if value is parameter.empty else _flow(config_of(value))
        lines.append(f"{name}: {told}" + (f"   # {said[name]}" if name in said else ""))
    return lines


def _about(told: Mapping[str, Any], kept: Mapping[str, Any]) -> str:
    space = told["space"]
    rest = {key: value for key, value in told.items() if key != "space"}
    lines = ["about:", f"  help: {_flow(kept['help'])}"]
    first = {"version": rest.pop("version"), "paths": rest.pop("paths")}
    values = {**first, "tuning_trials": kept["tuning_trials"], **rest}
    lines += [f"  {key}: {_flow(value)}" for key, value in values.items()]
    lines.append("  space:" if space else "  space: {}")
    lines += [f"    {name}: {_flow(value)}" for name, value in space.items()]
    return "\n".join([*lines, ""])


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return text.strip().removesuffix("...").strip()
