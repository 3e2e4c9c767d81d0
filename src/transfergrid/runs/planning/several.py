"""Whether a source of several domains, or of one, is what a strategy can learn from."""

from __future__ import annotations

from collections.abc import Callable

from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config
from transfergrid.records.needs import Needs
from transfergrid.records.several import in_links, parts_of
from transfergrid.runs.planning.plan import Option, listed


def unsuited(
    source: Option, strategy: Option, classes: Callable[[Config], tuple[str, ...]]
) -> str | None:
    """Return why the number of a source's domains, or their classes, do not suit, if so.

    Args:
        source: of one domain, of several, or of none.
        strategy: that is to learn from it.
        classes: gives the names of a domain's classes.
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
        in_links(source.config, strategy.config)
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


def _are_matched(needs: Needs, made_here: bool) -> bool:
    """Return whether the classes of several domains are matched by name.

    They are where a strategy learns from their union, where weights were learned from it here, and
    where each has the target's classes.
    """
    pooled = made_here and needs.source in ("weights", "head") and not needs.each
    return pooled or needs.domains == 1 or (needs.domains > 1 and needs.classes == "same")
