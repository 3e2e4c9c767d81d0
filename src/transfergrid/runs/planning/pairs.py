"""Settings of pairs of source domain and target: which strategies suit them, and which may do harm.

All of it follows from the names of the classes and from how many examples each class has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from transfergrid.data.domain import Domain
from transfergrid.records.cell import Cell
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config, build
from transfergrid.records.files.spellings import near
from transfergrid.records.identity import config_digest, known_domain
from transfergrid.records.needs import Needs
from transfergrid.records.pairs import SHIFTED, Pair
from transfergrid.runs.planning.plan import Option, listed

Named = tuple[str, Sequence[str]]
"""A domain's name and its classes."""
MEANT = {
    "closed": "where source and target have the same classes",
    "partial": "where the target lacks some of the source's classes",
    "open": "where the target has classes that the source lacks",
}


def unsuitable(strategy: Option, source: Named, target: Named, of_classes: bool) -> str | None:
    """Return why a strategy cannot be used with this pair; None if it can.

    Args:
        strategy: one that needs to know the classes of both domains.
        source: the source's name and the classes, or the outputs, of its domain.
        target: likewise for the target.
        of_classes: whether the labels are classes; the outputs of numbers must be the same.
    """
    pair = Pair.of(dict.fromkeys(source[1], 1), dict.fromkeys(target[1], 1))
    words, suits = pair.words, frozenset(strategy.needs.pairs)
    if words <= suits and pair.shared and (of_classes or pair.is_closed):
        return None
    if not of_classes or not pair.shared or "open" in words - suits:
        return _not_the_same(strategy, source, target)
    kind = " and ".join(word for word in MEANT if word in suits)
    told = "; ".join(MEANT[word] for word in MEANT if word in suits)
    return (
        f"{strategy.name} is for {kind} pairs, {told}, and {source[0]} with {target[0]} is "
        f"{pair.setting}: only=[...] of a domain keeps some of its classes"
    )


def _not_the_same(strategy: Option, source: Named, target: Named) -> str:
    (theirs_of, theirs), (ours_of, ours) = source, target
    spelled = "; they differ only in how they are written"
    hint = spelled if set(map(near, ours)) == set(map(near, theirs)) else ""
    return (
        f"{strategy.name} needs the same classes in source and target, and {theirs_of} has "
        f"{listed(theirs)}, {ours_of} has {listed(ours)}{hint}"
    )


# What may do harm --------------------------------------------------------------------------------


def lines(cells: Iterable[Cell]) -> list[str]:
    """Return a line for each pair that is not closed, has label shift, or may do harm."""
    kinds = {(cell.parts.source, cell.parts.target, cell.parts.strategy): cell for cell in cells}
    met: dict[tuple[Any, ...], dict[str, Cell]] = {}
    for cell in kinds.values():
        if domain := meets(cell):
            key = cell.names.source, cell.parts.target, config_digest(domain)
            met.setdefault(key, {})[cell.names.strategy] = cell
    return [line for found in met.values() for line in _of(found)]


def meets(cell: Cell) -> Config | None:
    """Return the source domain whose classes a cell's strategy needs to know; None if none."""
    return known_domain(cell.config["source"], Needs.read(cell.needs))


def pair_of(domain: Config, target: Config) -> Pair | None:
    """Return the pair of two domains; None if one has no classes or cannot be outlined."""
    counts: list[Mapping[str, int]] = []
    for config in (domain, target):
        made: Domain = build(config)
        try:
            outline = made.outline()
        except BadInputError:
            raise
        except Exception:  # of a user's own domain: its cells fail with a log that says why
            return None
        counts.append(dict(zip(outline.classes, outline.pool, strict=True)))
    return Pair.of(*counts) if all(counts) else None


def _of(cells: Mapping[str, Cell]) -> Iterator[str]:
    """Yield the warning about one pair, given one cell of each strategy that uses it."""
    cell = next(iter(cells.values()))
    strategies = {name: own.config["strategy"] for name, own in cells.items()}
    domain = meets(cell)
    pair = pair_of(domain, cell.config["target"]) if domain else None
    if pair is None:
        return
    where = f"{cell.names.source} with {cell.names.target}"
    if told := " and ".join(_settings(pair)):
        yield f"{where}: {told}{_harmed(pair, strategies)}"
    elif harmed := _harmed(pair, strategies):
        yield f"{where}{harmed}"


def _settings(pair: Pair) -> Iterator[str]:
    if pair.missing:
        yield f"a partial pair, the target lacks {_count(pair.missing)} of the source"
    if pair.unknown:
        yield f"an open pair, the source lacks {_count(pair.unknown)} of the target"
    if pair.is_shifted:
        yield f"label shift, the shares of classes are {pair.label_shift:.2f} apart"


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} classes" if len(names) != 1 else f"class {names[0]}"


def _harmed(pair: Pair, strategies: Mapping[str, Config]) -> str:
    """Say which strategies assume what does not hold for this pair, and what that does."""
    shares = [name for name, told in strategies.items() if "same_shares" in assumed(told)]
    equal = [name for name, told in strategies.items() if "equal_shares" in assumed(told)]
    uneven = pair.unevenness is not None and pair.unevenness > SHIFTED
    parts = []
    if shares and (pair.missing or pair.unknown or pair.is_shifted):
        parts.append(
            f"{', '.join(sorted(shares))}: bringing whole domains together moves target examples "
            "onto other classes"
        )
    if equal and uneven:
        parts.append(
            f"{', '.join(sorted(equal))}: pulling predictions towards as many of each class is "
            f"wrong here, the target's shares are {pair.unevenness:.2f} from equal"
        )
    return "".join(f"; {part}" for part in parts)


def assumed(strategy: Config) -> set[str]:
    """Return what a strategy assumes about the shares of classes.

    A strategy that aligns features by unlabelled target inputs aligns whole domains, so it assumes
    the same shares in both ("same_shares") even if its config does not say so. One that is only for
    partial or open pairs is designed to avoid that.
    """
    about = strategy.get("about") or {}
    found = set(about.get("assumes", ()))
    needs = Needs.read(about.get("needs") or {})
    with suppress(KeyError):
        if needs.unlabelled and about["transfers"] == "features" and "closed" in needs.pairs:
            found.add("same_shares")
    return found
