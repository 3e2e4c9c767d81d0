"""Sources ranked by how well a score expects them to serve a target. Plain values only."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transfergrid.evidence.measured.arms import labels_order
from transfergrid.evidence.statistics.rank_statistics import places
from transfergrid.records.cell import Labels
from transfergrid.records.ledgers.scores import Kept


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The value and rank of one source by one score; values are means over seeds."""

    target: str
    labels: Labels
    source: str
    score: str
    value: float | None
    rank: float | None
    """The rank among the sources with a value, 1 is best; ties share their mean rank."""
    of: int
    """The number of sources with a value."""
    seeds: int
    """The number of seeds in the mean."""
    higher_is_better: bool
    out_of_bounds: int
    """The number of seeds with an impossible value."""
    reason: str | None
    """Why a seed has no value."""
    remarks: tuple[str, ...]
    labels_are: str = "class"
    """The meaning of the number of labels: per "class", or the "total"."""


def ranked(kept: Iterable[Kept], scores: Sequence[str], by: str) -> list[Ranked]:
    """Return one row per target, labels, source and score; sources sorted by the score `by`."""
    known = list(kept)
    targets = _told({(one.target, one.target_part) for one in known})
    sources = _told({(one.source, one.source_parts[0]) for one in known})
    groups: dict[tuple[str, Labels], dict[str, list[Kept]]] = {}
    for one in known:
        group = groups.setdefault((targets[one.target, one.target_part], one.labels), {})
        group.setdefault(sources[one.source, one.source_parts[0]], []).append(one)
    found = []
    for (target, labels), blocks in sorted(groups.items(), key=_by_target_and_budget):
        table = {score: _column(target, labels, score, blocks) for score in scores}
        ranks = {row.source: row.rank or float("inf") for row in table[by]}
        order = sorted(blocks, key=lambda source: ranks[source])
        found += [_of(table[score], source) for source in order for score in scores]
    return found


def _by_target_and_budget(group: tuple[tuple[str, Labels], object]) -> tuple[str, float]:
    (target, labels), _ = group
    return target, labels_order(labels)


def _told(parts: set[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the display name of each (name, digest): with the digest if names repeat."""
    names = [name for name, _ in parts]
    return {(n, d): n if names.count(n) == 1 else f"{n} {d[:4]}" for n, d in parts}


def _of(rows: Sequence[Ranked], source: str) -> Ranked:
    return next(row for row in rows if row.source == source)


def _column(
    target: str, labels: Labels, score: str, sources: dict[str, list[Kept]]
) -> list[Ranked]:
    means = {source: _mean(blocks, score) for source, blocks in sources.items()}
    higher = {v.higher_is_better for b in sources.values() for k in b if (v := k.value(score))}
    sign = -1.0 if higher == {False} else 1.0
    known = {source: sign * mean for source, mean in means.items() if mean is not None}
    ranks = dict(zip(known, places(list(known.values())), strict=True))
    rows = []
    for source, blocks in sources.items():
        values = [value for block in blocks if (value := block.value(score)) is not None]
        rows.append(
            Ranked(
                target=target,
                labels=labels,
                source=source,
                score=score,
                value=means[source],
                rank=ranks.get(source),
                of=len(known),
                seeds=sum(value.value is not None for value in values),
                higher_is_better=sign > 0,
                out_of_bounds=sum(value.out_of_bounds for value in values),
                reason=next((value.reason for value in values if value.reason), None),
                remarks=tuple(dict.fromkeys(r for value in values for r in value.remarks)),
                labels_are=str(blocks[0].notes.get("labels_are", "class")),
            )
        )
    return rows


def _mean(blocks: Sequence[Kept], score: str) -> float | None:
    values = [v.value for b in blocks if (v := b.value(score)) and v.value is not None]
    return statistics.fmean(values) if values else None
