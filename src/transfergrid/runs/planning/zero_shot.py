"""Target classes without any training example (zero-shot): impossible cells, and warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from transfergrid.records.cell import Cell
from transfergrid.records.factory import Config, build
from transfergrid.records.files.spellings import NAMED, shown
from transfergrid.records.identity import config_digest, learned_domain, start_of
from transfergrid.records.needs import Needs
from transfergrid.runs.planning.plan import Option

Classes = Callable[[Config], tuple[str, ...]]


def all_seen(source: Option, strategy: Option, target: Option, classes: Classes) -> str | None:
    """Return why a target has no unseen class, though the strategy needs one; None if it has.

    Either the source's domain has all of the target's classes, or the weights that the source
    started from were trained on some that its domain lacks.

    Args:
        source: of the cell.
        strategy: one that tells classes by descriptions.
        target: of the cell.
        classes: returns the names of a domain's classes.
    """
    domain = learned_domain(source.config, strategy.needs)
    if domain is None:
        return None
    ours, theirs = classes(target.config), classes(domain)
    unseen = [name for name in ours if name not in theirs]
    if not unseen:
        return (
            f"{strategy.name} is for classes without examples, and {source.name} has examples of "
            f"every class of {target.name}: source.domain.only=[...] keeps some of them"
        )
    for earlier in _earlier(source.config):
        known = [name for name in unseen if name in classes(earlier)]
        if known:
            return (
                f"{strategy.name} is for classes without examples, and what {source.name} started "
                f"from was trained on {_listed(known)}"
            )
    return None


def _earlier(source: Config) -> Iterator[Config]:
    """Yield the domains that the weights were trained on before the source's own."""
    if not (source.get("about") or {}).get("start"):
        return
    start = start_of(source)
    while start is not None:
        again = (start.get("about") or {}).get("start")
        if again and start.get("domain"):
            yield start["domain"]
        start = start_of(start) if again else None


def lines(cells: Iterable[Cell]) -> Iterator[str]:
    """Yield lines for each source and target whose classes a strategy tells by descriptions."""
    met: dict[tuple[str | None, str], Cell] = {}
    told: dict[str, Needs] = {}
    for cell in cells:
        strategy = cell.parts.strategy  # 100,000 cells have few strategies
        if strategy not in told:
            told[strategy] = Needs.read(cell.needs)
        source, needs = cell.config["source"], told[strategy]
        if source is not None and needs.describes:
            key = config_digest([source, needs.domains > 0]), cell.parts.target
            met.setdefault(key, cell)
    for cell in met.values():
        yield from _of(cell)


def _of(cell: Cell) -> Iterator[str]:
    source, needs = cell.config["source"], Needs.read(cell.needs)
    domain, where = learned_domain(source, needs), f"{cell.names.source} with {cell.names.target}"
    ours = build(cell.config["target"]).classes
    theirs = set(build(domain).classes) if domain is not None else set()
    seen = [name for name in ours if name in theirs]
    if seen:
        yield (
            f"{where}: generalised zero-shot, {len(seen)} classes with examples in the source and "
            f"{len(ours) - len(seen)} without, each predicted among all {len(ours)}; records have "
            "the scores seen, unseen and harmonic"
        )
    made = build(source)
    if made.knows and _weights_from_elsewhere(source):
        yield f"{where}: what classes the weights of {cell.names.source} have seen is not known"


def _weights_from_elsewhere(source: Config) -> bool:
    """Return whether a source's weights, or those that it started from, were not trained here."""
    if not (source.get("about") or {}).get("start"):
        return True
    start = start_of(source)
    return start is not None and _weights_from_elsewhere(start)


def _listed(names: list[str]) -> str:
    more = ", ..." if len(names) > NAMED else ""
    return ", ".join(map(shown, names[:NAMED])) + more
