"""Whether a strategy can learn from a source's number of domains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config
from transfergrid.records.needs import Needs
from transfergrid.records.several import order_of, parts_of, usual_order
from transfergrid.runs.planning.plan import Option, less, listed


def unsuited(
    source: Option, strategy: Option, classes: Callable[[Config], tuple[str, ...]]
) -> str | None:
    """Return why a source's number of domains, or their classes, do not suit; None if they do.

    Args:
        source: with one domain, several, or none.
        strategy: the strategy that is to learn from it.
        classes: returns the names of a domain's classes.
    """
    needs, domains = strategy.needs, parts_of(source.config.get("domain"))
    about = source.config.get("about") or {}
    made_here = "start" in about
    if needs.each and not (made_here and domains):
        return (
            f"{strategy.name} merges weights that were trained here from one start, and those of "
            f"{source.name} were not: source=trained_here target@source.domain=[A,B]"
        )
    if (needs.each or needs.domains > 1) and len(domains) == 1:
        return (
            f"{strategy.name} needs two source domains or more, and {source.name} brings one: give "
            "several as one source, source=[A,B]"
        )
    try:
        order_of(source.config, needs, strategy.config)
    except BadInputError as error:
        return str(error)
    labelled = not about.get("unlabelled") and needs.source_labels
    if len(domains) < 2 or not labelled or not _are_matched(needs, made_here):
        return None
    first, *others = map(classes, domains)
    for other in others:
        if set(other) != set(first):
            return (
                f"{strategy.name} needs the same classes in all domains of {source.name}, and one "
                f"has {listed(first)}, another {listed(other)}"
            )
    return None


def ordered(strategy: Option, source: Option | None) -> Option:
    """Return a strategy whose order of source domains is null if the usual order was typed.

    The usual order is by name. So a cell has one identity, however the order was typed.
    """
    needs = strategy.needs
    config = usual_order(source.config if source else None, needs, strategy.config)
    if config is strategy.config:
        return strategy
    return replace(strategy, name=less(strategy.name, needs.ordered_by), config=config)


def _are_matched(needs: Needs, made_here: bool) -> bool:
    """Return whether the classes of several domains are matched by name.

    They are matched if the strategy learns from the union of the domains, if the weights were
    trained on that union here, or if each domain must have the target's classes.
    """
    pooled = made_here and needs.source in ("weights", "head") and not needs.each
    return pooled or needs.domains == 1 or (needs.domains > 1 and needs.classes == "same")
