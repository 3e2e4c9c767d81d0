"""Has a cell's source seen its target? Then a gain is no evidence of transfer to new data.

Only what is known counts: the source's card, the target's `part_of`, and a short table of datasets
inside datasets (`sources.cards`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from transfergrid.records.cell import Cell
from transfergrid.records.factory import Config, build
from transfergrid.records.identity import config_digest, start_of
from transfergrid.records.needs import Needs
from transfergrid.runs.planning.plan import Option
from transfergrid.sources.cards import holders, listed, names_of, shared


def card(source: Config | None, needs: Needs) -> dict[str, Any]:
    """Return what is known of the weights that a strategy with these needs takes from a source."""
    weights = _weights(source, needs)
    return build(weights).known_card() if weights else {}


def contaminated_by(source: Config | None, needs: Needs, target: Config) -> tuple[str, ...]:
    """Return the datasets that contain the target and that its source was trained on.

    Empty for random weights and for placebos, which were taught nothing. The library that the
    weights come from is asked only if the target is known to lie inside a dataset. A source that
    learned without labels from the target's own pool has not seen the test split.
    """
    domain = build(target)
    if not holders((*names_of(domain), *listed(domain.part_of))):
        return ()
    weights, seen = _weights(source, needs), []
    if weights and source is not None and _is_own_pool(source, target):
        weights = start_of(source)
    if weights and build(weights).knows:
        seen += build(weights).known_card().get("trained_on", [])
    if source and needs.domains and source.get("domain"):
        seen += names_of(build(source["domain"]))
    return shared(dict.fromkeys(seen), domain)


def _is_own_pool(source: Config, target: Config) -> bool:
    if not (source.get("about") or {}).get("unlabelled"):
        return False
    return bool(config_digest(source.get("domain")) == config_digest(target))


def _weights(source: Config | None, needs: Needs) -> Config | None:
    """Return the config of the weights that the strategy takes; None for random weights."""
    if source is None or not needs.has_network or needs.source == "architecture":
        return None
    return start_of(source) if needs.source == "start" else source


def marks(cells: Iterable[Cell]) -> dict[str, tuple[str, ...]]:
    """Return the datasets that contaminate each contaminated cell, by the cell's identity."""
    known: dict[tuple[Any, ...], tuple[str, ...]] = {}
    found = {}
    for cell in cells:
        key = (cell.parts.source, cell.parts.strategy, cell.parts.target)
        if key not in known:
            config = cell.config
            needs = Option("", config["strategy"]).needs
            known[key] = contaminated_by(config["source"], needs, config["target"])
        if known[key]:
            found[cell.id] = known[key]
    return found


def warnings(cells: Iterable[Cell], marked: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return one line for each source and target of marked cells."""
    lines = (
        f"{cell.names.source} was trained on {' and '.join(marked[cell.id])}, and "
        f"{cell.names.target} lies inside: gains there are no evidence of transfer to new data"
        for cell in cells
        if cell.id in marked
    )
    return list(dict.fromkeys(lines))
