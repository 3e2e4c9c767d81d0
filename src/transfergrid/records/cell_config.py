"""A cell in plain values: what a plan hands to a worker. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from transfergrid.records.factory import Config
from transfergrid.records.identity import Labels, digest
from transfergrid.records.provenance import code_fingerprint, commit, versions
from transfergrid.records.record import Names, Parts, Record, Reference, Status


@dataclass(frozen=True)
class CellConfig:
    """One cell, key by key as in its JSON.

    `parts` are digests of the canonical configs; `baseline` and `exploratory` name the cells that
    this one is compared with.
    """

    id: str
    parts: dict[str, str | None]
    names: dict[str, str | None]
    source: Config | None
    strategy: Config
    target: Config
    labels: Labels
    seed: int
    training: Config | None
    baseline: dict[str, str] | None = None
    exploratory: list[dict[str, str]] = field(default_factory=list)
    study: str | None = None
    grid: str | None = None
    """Identity of the grid that asked for it."""

    @property
    def plain(self) -> dict[str, Any]:
        """What a person typed and identity is made of."""
        keys = ("source", "strategy", "target", "labels", "seed", "training")
        return {key: getattr(self, key) for key in keys}

    @property
    def label(self) -> str:
        """The cell in words."""
        words = [self.names["source"], self.names["strategy"], self.names["target"]]
        rest = [f"labels={self.labels}", f"seed={self.seed}"]
        training = self.names.get("training")
        if training and "(" in training:  # not as shipped
            rest.append(training)
        return ", ".join([" x ".join(filter(None, words)), *rest])


def title(names: Mapping[str, str | None], labels: Labels) -> str:
    """Name what cells that differ in their seed have in common."""
    words = [names["source"] or names["architecture"], names["strategy"], names["target"]]
    return " ".join([*filter(None, words), f"labels={labels}"])


def group_of(
    names: Mapping[str, str | None], labels: Labels, parts: Mapping[str, str | None]
) -> str:
    """Return the group of a cell's run: names may be shared, digests of the parts are not."""
    return f"{title(names, labels)} {digest([dict(parts), labels])[:6]}"


def different_parts(cells: Sequence[CellConfig]) -> list[CellConfig]:
    """Return cells in which every strategy and every source occurs, few of them."""
    seen: set[tuple[str, str | None]] = set()
    chosen = []
    for cell in cells:
        parts = {(part, cell.parts[part]) for part in ("strategy", "source")}
        if not parts <= seen:
            chosen.append(cell)
            seen |= parts
    return chosen


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def identified(cell: CellConfig, status: Status, **results: Any) -> Record:
    """Return a record with what is known of a cell before it runs, and these results."""
    return Record(
        id=cell.id,
        status=status,
        names=Names(**cell.names),  # type: ignore[arg-type]
        parts=Parts(**cell.parts),  # type: ignore[arg-type]
        labels=cell.labels,
        seed=cell.seed,
        config=cell.plain,
        baseline=Reference(**cell.baseline) if cell.baseline else None,
        exploratory=tuple(Reference(**other) for other in cell.exploratory),
        versions=versions(),
        commit=commit(),
        code=code_fingerprint(cell.strategy["_target_"]),
        study=cell.study,
        finished=now(),
        **results,
    )
