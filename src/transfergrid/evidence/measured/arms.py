"""Arms: cells that differ in nothing but their seed, and the names of arms."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from transfergrid.evidence.measured.results import AnyCell, Cell
from transfergrid.records.cell import Labels, Parts
from transfergrid.records.metrics import CLASSES, NUMBERS, is_of_numbers
from transfergrid.records.points import points

CLASSICAL = {CLASSES: "logistic_regression", NUMBERS: "ridge_regression"}
"""The strategies that show what the target's labels achieve without deep learning, by task."""

UNTUNED = "untuned"
"""The name of an arm without a search, beside the same arm with a search."""

Key = tuple[Parts, Labels]


def key_of(cell: AnyCell) -> Key:
    """Return the key that all cells of an arm share."""
    return cell.parts, cell.labels


def grouped(cells: Iterable[Cell]) -> dict[Key, list[Cell]]:
    """Return the cells of each arm, ordered by seed."""
    groups: defaultdict[Key, list[Cell]] = defaultdict(list)
    for cell in sorted(cells, key=attrgetter("seed", "id")):
        groups[key_of(cell)].append(cell)
    return dict(groups)


def labels_order(labels: Labels) -> float:
    """Return a sort key that orders label budgets as 0, 2, 20, all."""
    return float("inf") if labels == "all" else labels


def valid_scores(cells: Iterable[AnyCell]) -> list[float]:
    """Return the valid scores, in points."""
    scored = [cell for cell in cells if cell.score is not None]
    metrics = {id(cell.metric): cell.metric for cell in scored}  # mostly one for all cells
    if len(metrics) > 1:
        return [points(cell.metric) * (cell.score or 0.0) for cell in scored]
    worth = points(scored[0].metric) if scored else 1.0
    return [worth * cell.score for cell in scored if cell.score is not None]


def mean_score(cells: Iterable[AnyCell]) -> float | None:
    """Return the mean of the valid scores in points; None if there is none."""
    scores = valid_scores(cells)
    return statistics.fmean(scores) if scores else None


Shown = tuple[str | None, str | None, str, str]  # source, architecture, strategy, target


def display_names(groups: Mapping[Key, Sequence[AnyCell]]) -> dict[Key, Shown]:
    """Return the display names of each row, with a digest where two parts share a name.

    Strategies are distinguished within one training: for images a strategy may have another
    learning rate than for texts. If there are cells of several protocols, the targets of earlier
    ones show theirs, as in "digits#p1": digests belong to one protocol, so names are distinguished
    within it.
    """
    newest = max((cells[0].protocol for cells in groups.values()), default=0)
    used: defaultdict[tuple[Any, ...], set[str | None]] = defaultdict(set)
    for (parts, _), cells in groups.items():
        for label, digest in _labelled(parts, cells[0]):
            used[label].add(digest)

    def mark(label: tuple[Any, ...], digest: str | None) -> str:
        return f"#{digest[:4]}" if digest and len(used[label]) > 1 else ""

    def of_protocol(cell: AnyCell) -> str:
        return f"#p{cell.protocol}" if cell.protocol < newest else ""

    shown: dict[Key, Shown] = {}
    for key, cells in groups.items():
        names = cells[0].names
        marks = [mark(label, digest) for label, digest in _labelled(key[0], cells[0])]
        source = names.source and names.source + marks[0]
        architecture = names.architecture and names.architecture + ("" if source else marks[0])
        target = names.target + marks[2] + of_protocol(cells[0])
        shown[key] = source, architecture, names.strategy + marks[1], target
    tunings = {key: cells[0].names.tuning or UNTUNED for key, cells in groups.items()}
    trainings = {key: cells[0].names.training for key, cells in groups.items()}
    shown = _told_apart(shown, tunings, {key: key[0].tuning for key in groups})
    return _told_apart(shown, trainings, {key: key[0].training for key in groups})


def _labelled(parts: Parts, cell: AnyCell) -> list[tuple[tuple[Any, ...], str | None]]:
    names, protocol = cell.names, cell.protocol
    return [  # strategies use different parts of a source: it is distinguished within a strategy
        (("source", names.source, names.architecture, parts.strategy), parts.source),
        (("strategy", names.strategy, names.training, protocol), parts.strategy),
        (("target", names.target, protocol), parts.target),
    ]


def _told_apart(
    shown: Mapping[Key, Shown],
    names: Mapping[Key, str | None],
    digests: Mapping[Key, str | None],
) -> dict[Key, Shown]:
    """Append a part's name to the strategy where rows differ only in this part.

    Args:
        shown: the display names of each row.
        names: the part's name, by row.
        digests: the part's digest, by row; shown where names do not distinguish the rows.
    """
    alike: defaultdict[tuple[Any, ...], list[Key]] = defaultdict(list)
    for key, called in shown.items():
        alike[(*called, key[1])].append(key)
    new = dict(shown)
    for keys in (keys for keys in alike.values() if len({digests[key] for key in keys}) > 1):
        distinct = len({names[key] for key in keys}) == len(keys)
        for key in keys:
            source, architecture, strategy, target = shown[key]
            digest = f"#{digests[key]:.4}" if digests[key] else ""
            told = f" {names[key]}" if names[key] and distinct else digest
            new[key] = (source, architecture, strategy + told, target)
    return new


def baselines_of(cells: Sequence[Cell], by_id: Mapping[str, Cell]) -> list[Cell]:
    """Return the done primary baselines of one config: that of the newest of them.

    Otherwise a baseline whose config was changed between two runs would be averaged with its older
    version.
    """
    named = [cell.baseline.id for cell in cells if cell.baseline]
    there = [by_id[identity] for identity in named if identity in by_id]
    newest = max(there, key=lambda cell: (cell.finished or "", cell.id), default=None)
    return [cell for cell in there if newest and cell.parts == newest.parts]


def classical_means(groups: Mapping[Key, Sequence[AnyCell]]) -> dict[tuple[str, Labels], float]:
    """Return the classical learner's mean score by target digest and label budget."""
    return {
        (parts.target, labels): mean
        for (parts, labels), cells in groups.items()
        if cells[0].names.strategy in CLASSICAL.values() and (mean := mean_score(cells)) is not None
    }


def worse_than_classical(metric: str) -> str:
    """Return the words for an arm that is worse than a classical learner on the target's labels."""
    if is_of_numbers(metric):
        return f"does worse than {CLASSICAL[NUMBERS]}"
    return f"scores below {CLASSICAL[CLASSES]}"


def without_network(
    groups: Mapping[Key, Sequence[AnyCell]],
) -> dict[tuple[str, Labels], tuple[tuple[str, float], ...]]:
    """Return, by target and labels, the mean scores of arms without a network, by strategy."""
    found: defaultdict[tuple[str, Labels], list[tuple[str, float]]] = defaultdict(list)
    used = {cell.baseline.id for cells in groups.values() for cell in cells if cell.baseline}
    for (parts, labels), cells in groups.items():
        first = cells[0]
        if first.id in used or first.names.architecture is not None or first.baseline:
            continue
        if (mean := mean_score(cells)) is not None:
            found[parts.target, labels].append((first.names.strategy, mean))
    return {place: tuple(sorted(means, key=lambda m: m[1])) for place, means in found.items()}


def is_weak(
    baselines: Sequence[AnyCell], key: Key, classical: Mapping[tuple[str, Labels], float]
) -> bool:
    """Return whether the baselines score below the classical learner on the same labels."""
    learned, mean = classical.get((key[0].target, key[1])), mean_score(baselines)
    if learned is None or mean is None:
        return False
    return mean < learned if baselines[0].metric.higher_is_better else mean > learned
