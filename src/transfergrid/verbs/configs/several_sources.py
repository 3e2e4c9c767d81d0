"""Several sources used as one: `source=[a,b]` and `target@source.domain=[x,y]`.

Each source is composed as if it stood alone. Everything but the domain must then be equal: so a
source of several domains is one config, independent of how it was typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import Any

from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import locate
from transfergrid.records.identity import architecture_of, canonical
from transfergrid.records.several import TARGET, domain_of, joined, with_domain
from transfergrid.report.wording.names import JOIN
from transfergrid.runs.planning.plan import Option, architecture_name
from transfergrid.verbs.configs.option_names import Choice, as_typed

LEFT_OUT = "leave_one_out"
_LEFT_OUT = re.compile(rf"(?<![\w.]){LEFT_OUT}\(\s*(\[[^\[\]]*\])\s*\)")
_DOMAIN = re.compile(r"target@source(\.of)*\.domain")
_OPENING, _CLOSING = "([{", ")]}"


def takes_lists(key: str) -> bool:
    """Return whether a list as the value of this key means one source made of several."""
    return key == "source" or _DOMAIN.fullmatch(key) is not None


def split(text: str) -> list[str]:
    """Return the parts of a text between commas, ignoring commas in brackets and quotes."""
    found, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        depth += (letter in _OPENING) - (letter in _CLOSING) if not quote else 0
        if letter == "," and not depth and not quote:
            found.append("")
        else:
            found[-1] += letter
    return [part.strip() for part in found]


def members(value: str) -> list[str] | None:
    """Return the elements of a list; None if the value is not a list.

    Raises:
        BadInputError: an element is empty, or is a list.
    """
    if not (value.startswith("[") and value.endswith("]")) or len(split(value)) > 1:
        return None
    found = split(value[1:-1])
    if not all(found) or any(part[0] in "[{" for part in found):
        raise BadInputError(f"{value}: a list of sources holds names, with commas between them")
    return found


def expanded(word: str) -> str:
    """Return an override with `leave_one_out([a,b,c])` expanded: each, all, all but one.

    Options with keys in brackets, as in `[a,b(c=1)]`, are quoted as Hydra requires.

    Raises:
        BadInputError: it has fewer than two sources, or is used where no source is expected.
    """
    key, equals, value = word.partition("=")
    if not equals or LEFT_OUT + "(" not in value:
        return f"{key}={_quoted(value)}" if equals and takes_lists(key) else word
    if not takes_lists(key.lstrip("+~")):
        raise BadInputError(f"{word}: {LEFT_OUT} is for sources: source={LEFT_OUT}([a,b,c])")
    made = _LEFT_OUT.sub(lambda found: ",".join(left_out(members(found[1]) or [])), value)
    if LEFT_OUT + "(" in made:
        raise BadInputError(f"{word}: write {LEFT_OUT}([a,b,c]), a list in brackets")
    return f"{key}={_quoted(made)}"


def _quoted(value: str) -> str:
    """Return values in which list elements with keys in brackets are quoted."""
    lists = [(part, members(part)) for part in split(value)]
    if not any(found for _, found in lists):
        return value
    return ",".join(f"[{','.join(map(_text, f))}]" if f else _text(part) for part, f in lists)


def _text(name: str) -> str:
    return f"'{name}'" if re.fullmatch(r"\w+\(.*\)", name) else name


def left_out(sources: Sequence[str]) -> Iterator[str]:
    """Yield each source, the list of all, and each list of all but one.

    Raises:
        BadInputError: there are fewer than two.
    """
    if len(sources) < 2:
        raise BadInputError(f"{LEFT_OUT}([{','.join(sources)}]) leaves nothing: give two or more")
    yield from sources
    yield f"[{','.join(sources)}]"
    if len(sources) > 2:
        yield from (f"[{','.join(rest)}]" for rest in combinations(sources, len(sources) - 1))


def alone(group: str, choice: Choice) -> list[Choice]:
    """Return the choices that a choice consists of: itself, or one for each source."""
    name, overrides = choice
    if group != "source":
        return [as_typed(group, name, overrides)]
    names = members(name) or [name]
    each = [list(_values(override)) for override in overrides]
    return [as_typed(group, one, tuple(rest)) for one, *rest in product(names, *each)]


def _values(override: str) -> Iterator[str]:
    found, key = _listed(override), override.partition("=")[0]
    yield from [override] if found is None else (f"{key}={one}" for one in found)


def _listed(override: str) -> list[str] | None:
    """Return the elements of an override's list; None if its value is not a list."""
    key, _, value = override.partition("=")
    return members(value) if takes_lists(key) else None


def listed_domains(choice: Choice) -> list[str]:
    """Return the domains listed for one source, if nothing else is a list."""
    lists = [found for override in choice[1] if (found := _listed(override)) is not None]
    return lists[0] if len(lists) == 1 and members(choice[0]) is None else []


def one_source(options: Sequence[Option], domains: Sequence[str] = ()) -> Option:
    """Return several sources combined into one, or the only one unchanged.

    Args:
        options: the option of each source.
        domains: the name of each source's domain, to be used as the source's name.

    Raises:
        BadInputError: they differ in more than their domains, or one occurs twice.
    """
    first = options[0]
    if len(options) == 1:
        return first
    called = f"source=[{','.join(option.name for option in options)}]"
    for one, other in combinations(options, 2):
        if one.digest == other.digest:
            twice = one.name if one.name == other.name else f"{one.name} and {other.name}"
            raise BadInputError(f"{called}: the same source twice, {twice}")
    for option in options[1:]:
        _check_like(called, first, option)
    configs = [domain_of(option.config) for option in options]
    for option, config in zip(options, configs, strict=True):
        if config is None:
            raise BadInputError(
                f"{called}: {option.name} brings no labelled domain, by which sources are told "
                "apart"
            )
    name, names = _called([option.name for option in options], domains)
    made = joined([config for config in configs if config], names, locate(TARGET).about())
    typed = frozenset().union(*(option.typed for option in options))
    return Option(name, with_domain(first.config, made), typed)


def _called(names: Sequence[str], domains: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the joint name of several sources, and the name of each.

    Sources that differ only in the name of a domain are named after it.
    """
    place = "domain={}"
    both = zip(names, domains, strict=False)
    alike = {name.replace(place.format(domain), place) for name, domain in both}
    if len(domains) == len(names) and len(alike) == 1 and place in next(iter(alike)):
        joint = place.format(JOIN.join(sorted(domains)))
        return alike.pop().replace(place, joint), domains
    return JOIN.join(sorted(names)), names


def _check_like(called: str, first: Option, other: Option) -> None:
    """Raise unless two sources are equal except for their domains."""
    ours, theirs = (canonical(with_domain(one.config, None)) for one in (first, other))
    if ours == theirs:
        return
    both = f"{first.name} and {other.name}"
    if ours.get("_target_") != theirs.get("_target_"):
        raise BadInputError(f"{called}: {both} are no sources of one kind")
    networks = [architecture_of(one.config) for one in (first, other)]
    if canonical(networks[0]) != canonical(networks[1]):
        named = zip((first.name, other.name), networks, strict=True)
        told = [f"{name} has {architecture_name(network)}" for name, network in named]
        where = next(iter(_differing(*map(canonical, networks))), "")
        alike = architecture_name(networks[0]) == architecture_name(networks[1])
        raise BadInputError(
            f"{called}: one source has one architecture, and {', '.join(told)}"
            f"{f', of another {where}' if alike else ''}"
        )
    where = ", ".join(_differing(ours, theirs))
    if "start" in (first.config.get("about") or {}) and "start" in first.config:
        raise BadInputError(
            f"{called}: one source is trained in one way, and {both} differ in {where}"
        )
    raise BadInputError(
        f"{called}: weights of different sources cannot be pooled, and {both} differ in {where}; "
        f"to try each give source={first.name},{other.name}"
    )


def _differing(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted keys in which two canonical configs differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys((*one, *other)):
            yield from _differing(one.get(key), other.get(key), f"{path}.{key}" if path else key)
    elif one != other:
        yield path
