"""The user's words converted for Hydra; what Hydra would misread is refused with an explanation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from yaml import MarkedYAMLError

from transfergrid.records import trust
from transfergrid.records.errors import BadInputError, check_known, did_you_mean
from transfergrid.verbs.configs.keys import GROUPS, KEYS, TAKE_A_VALUE
from transfergrid.verbs.configs.other_names import other_names
from transfergrid.verbs.configs.several_sources import expanded, members, split, takes_lists

COMPLETION = {"-sc", "--shell-completion"}
SHOWS_ONE = {"--cfg", "-c", "--info", "-i"}
HELP = {"--help", "-h"}
ASKS_FOR_TEXT = SHOWS_ONE | HELP
MULTIRUN = ("-m", "--multirun")
INSIDE = {
    **dict.fromkeys(
        ("steps", "batch_size", "optimizer", "lr", "weight_decay", "momentum", "schedule"),
        "training",
    ),
    "trials": "tuning",
    **dict.fromkeys(("margin", "alpha", "power", "correction", "max_seeds"), "verdict"),
    **dict.fromkeys(("accelerator", "workers", "threads"), "trainer"),
    **dict.fromkeys(("root", "test_split", "test_file", "group_column", "metric"), "target"),
}
"""Keys that are often typed without their group, with that group."""
AXES = (*GROUPS, "labels", "seed")
RERUN = "rerun"
"""The key whose value may be selection conditions."""
ONE_FOR_ALL = ("trainer", "tracking")
CHECKED_LATER = (*GROUPS, *ONE_FOR_ALL)
_OPEN = re.compile(r"(?:strategy_defaults|verdict\.margins)(?:\.|$)")
"""Keys that contain arbitrary names, of strategies and of targets, which are also checked later."""
_LAUNCHER = re.compile(r"hydra\.launcher\.")
"""Keys of a launcher, which the launcher checks itself."""
DETACH, _DETACHED = "--detach", "hydra.launcher.detach=true"
NO_CHOICE = ("=", "=null", "=None")
_VARIANT = r"\w+(?:\([^()]*\))?"
"""The pattern of an option's name, with overrides in brackets as tables show them."""
_OVERRIDE = re.compile(r"^([+~]*)([A-Za-z_]\w*)([.@/][^=]*)?(=.*)?$", re.DOTALL)


def for_hydra(words: Sequence[str], verbs: Sequence[str]) -> list[str]:
    """Return all words in the form that Hydra's first composition accepts.

    Raises:
        BadInputError: a word cannot be parsed, or would not mean what it seems to mean.
    """
    rest = multirun_first(allowing(words))
    rest = [_DETACHED if word == DETACH else word for word in rest]
    runs = not ASKS_FOR_TEXT & set(rest)
    if HELP & set(rest):
        rest = [word for word in rest if "=" not in word]  # help does not depend on the request
    if SHOWS_ONE & set(rest):
        _check_one_each(word for word in rest if "=" in word and not word.startswith("-"))
    return [
        word if is_value or word.startswith("-") else prepared(_override(word, verbs), runs)
        for word, is_value in zip(rest, _are_values(rest), strict=True)
    ]


def _check_one_each(overrides: Iterator[str]) -> None:
    """Raise `BadInputError` if a key has several values, as Hydra could show none of them."""
    for word in overrides:
        try:
            several = OverridesParser.create().parse_override(word).is_sweep_override()
        except HydraException:
            continue  # reported later, with the reason
        key, _, value = word.partition("=")
        if several or (takes_lists(key) and value.startswith("[")):
            raise BadInputError(
                f"{word}: --cfg and --info show one configuration; give one value, or see all "
                "cells with transfergrid plan"
            )


def _are_values(words: Sequence[str]) -> Iterator[bool]:
    before = ""
    for word in words:
        yield before in TAKE_A_VALUE and not word.startswith("-")
        before = word


def _override(word: str, verbs: Sequence[str]) -> str:
    if "=" in word or word.startswith("~"):
        return word
    if word in verbs:
        raise BadInputError(f"{word}: a verb comes first, as in transfergrid {word}")
    raise BadInputError(
        f"{word}: write KEY=VALUE; commas stand between several values, and no spaces"
    )


def allowing(words: Sequence[str]) -> list[str]:
    """Return the words without `--allow MODULE`, and allow these modules; see `trust`.

    Raises:
        BadInputError: no name follows, or an invalid one.
    """
    rest, left = [], iter(words)
    for word in left:
        option, equals, value = word.partition("=")
        if option == "--allow":
            trust.allow(value if equals else next(left, ""))
        else:
            rest.append(word)
    return rest


def multirun_first(words: Sequence[str]) -> list[str]:
    """Return the words with `-m` first, as Hydra does not accept it between overrides."""
    multirun = [word for word in words if word in MULTIRUN and not ASKS_FOR_TEXT & set(words)]
    return multirun[:1] + [word for word in words if word not in MULTIRUN]


def prepared(word: str, runs: bool = False) -> str:
    """Return an override in the form that Hydra's first composition accepts.

    That composition knows only one option of each group, while a key may belong to another option
    of a sweep. So keys inside groups are forced here, and checked for each option later. For a run,
    groups inside groups, and a single option with keys in brackets, are written as sweeps, which
    that composition ignores.

    Raises:
        BadInputError: the key is unknown, or the word removes a part that every cell has.
    """
    word = expanded(word)
    match = _OVERRIDE.match(word)
    if match is None or not (match.group(4) or word.startswith("~")):
        return word
    sign, key, rest = match.group(1), match.group(2), match.group(3) or ""
    _check_key(key)
    if not rest and (sign == "~" or match.group(4) in NO_CHOICE):
        raise BadInputError(f"{word}: give a value for {key}, or leave this out")
    if key == "hydra" and rest == ".mode":
        raise BadInputError(f"{word}: one cell or many take the same path; leave this out")
    if match.group(4):
        word = re.sub(r"\s*\n\s*", " ", word)  # copied from a terminal with line breaks
        match = _OVERRIDE.match(word) or match
        word = readable(f"{sign}{key}{rest}", match.group(4)[1:])
    value = word.partition("=")[2]
    if runs and rest.startswith("@") and match.group(4) and "(" not in word:
        return f"{sign}{key}{rest}=choice({value})"
    alone = re.fullmatch(rf"'{_VARIANT}'", value) or (takes_lists(key) and members(value))
    if runs and not rest and key in GROUPS and alone:
        return f"{sign}{key}=choice({value})"
    inside = (rest.startswith(".") and key in CHECKED_LATER) or _LAUNCHER.match(key + rest)
    return f"++{word}" if not sign and (inside or _OPEN.match(key + rest)) else word


def _check_key(key: str) -> None:
    """Raise `BadInputError` unless this is a key; a key of a group is shown with its group."""
    inside = INSIDE.get(key)
    if inside is not None and key not in KEYS:
        raise BadInputError(f"unknown key {key!r}; did you mean {inside}.{key}?")
    check_known("key", key, KEYS)


def readable(key: str, value: str) -> str:
    """Return `key=value` in Hydra's grammar, which accepts ASCII letters and few symbols.

    Paths with other letters, brackets or symbols are quoted, and `~` becomes the home folder.

    Raises:
        BadInputError: Hydra would read the value as something else than it seems to be.
    """
    _check_meant(key, value)
    if key == RERUN and not re.fullmatch(r"(['\"]).*\1", value):
        return f"{key}={_quoted(value)}"  # conditions and ids, not a sweep
    if re.search(r"(^|,)~(/|,|$)", value):
        value = ",".join(_at_home(part) for part in value.split(","))
    if _is_read(f"{key}={value}"):
        return f"{key}={value}"
    if takes_lists(key) and any(map(members, split(value))):
        return f"{key}={','.join(map(_listed, split(value)))}"
    variants = key in GROUPS and re.fullmatch(rf"{_VARIANT}(,{_VARIANT})*", value)
    apart = re.findall(_VARIANT, value) if variants else value.split(",")
    parts = apart if variants or not re.search(r"[\[({'\"]", value) else [value]
    if not all(parts):
        raise BadInputError(
            f"{key}={value}: a value is missing beside a comma, or spaces stand there"
        )
    return (
        f"{key}={','.join(part if _is_read(f'{key}={part}') else _quoted(part) for part in parts)}"
    )


def _check_meant(key: str, value: str) -> None:
    is_list = value.startswith("[") and value.endswith("]")
    if key in AXES and is_list and not takes_lists(key):
        each = re.sub(r"\s*,\s*", ",", value[1:-1].strip())
        raise BadInputError(f"{key}={value} is one list: to try each of them, write {key}={each}")
    if key in GROUPS and re.search(r"[*?]", value) and "(" not in value:
        raise BadInputError(f"{key}={value}: for all of a pattern, write '{key}=glob({value})'")
    if key in ONE_FOR_ALL and re.fullmatch(r"\w+\(.*\)", value):
        name, _, inside = value[:-1].partition("(")
        each = " ".join(f"{key}.{word.strip()}" for word in inside.split(","))
        raise BadInputError(f"{key}={value}: one holds for all cells: write {key}={name} {each}")
    if re.fullmatch(r"[1-9]\d{0,2}(,000)+", value):
        whole = value.replace(",", "")
        raise BadInputError(
            f"{key}={value} is several values; no comma parts thousands: write {key}={whole}"
        )
    if key not in AXES and re.fullmatch(r"-?\d+,0\d+(,-?\d+,\d+)*", value):
        point = re.sub(r"(\d+),(\d+)", r"\1.\2", value)
        raise BadInputError(
            f"{key}={value} is two values; with a decimal point it is {key}={point}"
        )


def _listed(value: str) -> str:
    """Return a source, or a list of sources, quoted where Hydra requires it."""
    found = members(value)
    if found is not None:
        return f"[{','.join(map(_listed, found))}]"
    return value if _is_read(f"source=[{value}]") else _quoted(value)


def _at_home(part: str) -> str:
    return str(Path(part).expanduser()) if re.match(r"~(/|$)", part) else part


def _is_read(word: str) -> bool:
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True


def _quoted(value: str) -> str:
    plain = re.sub(r"(\\*)'", r"\1\1\\'", value)  # Hydra unescapes backslashes only before a quote
    return f"'{plain}'"


def told(error: Exception) -> str:
    """Return an error of Hydra or YAML as one line, with the closest known word."""
    text = " ".join(str(error).split())
    if isinstance(error, MarkedYAMLError):
        return f"broken YAML: {text}"
    unknown = re.search(r"Could not find '(?:\w+/)?(\w+)/([^']+)'", text)
    options = re.search(r"Available options in '[^']*': (.*?)(?: Config search path|$)", text)
    if unknown and options:
        group, name = unknown.groups()
        others = other_names(group, re.findall(r"path=(\S+)", text))
        return f"unknown {group} {name!r}{did_you_mean(name, options.group(1).split(), others)}"
    cause = error.__cause__ or error.__context__
    detail = " ".join(str(cause).split()) if cause is not None and str(cause) not in text else ""
    key = re.search(r"Key '[^']+' (?:is )?not in .*?full_key: ([\w./]+)", f"{text} {detail}")
    if key:
        return f"there is no key {key.group(1)}"
    return f"{text}{f' ({detail})' if detail else ''}"[:300]
