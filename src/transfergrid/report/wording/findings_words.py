"""The wording of findings that strategies record, and of settings chosen after training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from transfergrid.evidence.measured.arms import labels_order
from transfergrid.evidence.measured.unvalidated import Place, Unvalidated
from transfergrid.records.points import points
from transfergrid.records.record import Record

MOST = 20
"""The largest number of list elements, or of names in a mapping, that is shown."""


def findings(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each finding, such as `importance: head 1, conv1 0.31`."""
    for name, value in told.items():
        mark = ":" if isinstance(value, (Mapping, list, tuple)) else ""
        yield f"{name.replace('_', ' ')}{mark} {_words(value)}"


def settled(cell: Record) -> Iterator[str]:
    """Yield a line for each setting chosen after training, with its whole path.

    A further line names the trials whose weights were averaged. Scores are in points if they are
    shares.
    """
    for path in cell.chosen.paths if cell.chosen else ():
        yield f"{path.name} {_words(path.chosen)}, put after training"
        scores = [None if s is None else points(cell.metric) * s for s in path.validation]
        for name, line in (("validation score", scores), ("training loss", path.train_loss)):
            pairs = zip(path.values, line, strict=False)
            at = [f"{_words(value)}: {_words(told)}" for value, told in pairs if told is not None]
            if len(at) > 1:
                yield f"{name} along {path.name} {_some(at, ', ')}"
    if cell.tuning is not None and cell.tuning.members:
        members = ", ".join(str(number + 1) for number in cell.tuning.members)
        yield f"mean of the weights of trials {members} of {len(cell.tuning.trials)}"


def without_validation(found: Mapping[Place, Sequence[Unvalidated]]) -> list[str]:
    """Return lines on the settings taken where there is no validation, joined for equal places.

    As in `labels=5: nothing validates; wise_ft took alpha 0.5, ridge chose its penalty by leaving
    one out`.
    """
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for (labels, target), settings in sorted(found.items(), key=_in_order):
        told = ", ".join(dict.fromkeys(map(_taken, settings)))
        alike[told].append(f"{target}, labels={labels}" if target else f"labels={labels}")
    return [f"{' and '.join(places)}: nothing validates; {told}." for told, places in alike.items()]


def _in_order(item: tuple[Place, Any]) -> tuple[str, float]:
    (labels, target), _ = item
    return target, labels_order(labels)


def _taken(one: Unvalidated) -> str:
    name = one.setting.replace("_", " ")
    if one.by:
        return f"{one.strategy} chose its {name} by {one.by}"
    return f"{one.strategy} took {name} {_words(one.value)}"


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        lists = any(isinstance(part, (Mapping, list, tuple)) for part in value.values())
        pairs = [f"{name} {_words(part)}" for name, part in value.items()]
        return _some(pairs, "; " if lists else ", ")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _some([_words(part) for part in value], ", ")
    return str(value)


def _some(parts: Sequence[str], between: str) -> str:
    more = f"{between}and {len(parts) - MOST} more" if len(parts) > MOST else ""
    return between.join(parts[:MOST]) + more
