"""A target as seen from a source domain: the classes that are predicted, and the labels.

If the target lacks some of the source's classes, predictions still range over all of these.
Target classes that the source lacks are predicted, and scored, as one further class, the last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from transfergrid.data.task import Classification, Task
from transfergrid.records.errors import BadInputError
from transfergrid.records.pairs import UNKNOWN, Pair


@dataclass(frozen=True)
class OpenSet(Classification):
    """Known classes and, as the last class, all classes that are unknown to the source."""

    @property
    def unknown(self) -> int:
        """The index of the unknown class."""
        return self.outputs - 1

    @override
    def scores(self, predicted: Tensor, labels: Tensor) -> dict[str, float | None]:
        """Return every metric, and those of open-set recognition (Saito et al. 2018, section 4.1).

        `os` is the mean recall of known classes and the unknown one, `os_star` that of known
        classes, both over the classes that occur; None where none occurs.
        """
        right, there = predicted.argmax(dim=1) == labels, labels.bincount(minlength=self.outputs)
        hits = labels[right].bincount(minlength=self.outputs)
        recall = (hits.double() / there)[there > 0]
        is_known = torch.arange(self.outputs, device=labels.device)[there > 0] != self.unknown
        return {
            **super().scores(predicted, labels),
            "os": _mean(recall),
            "os_star": _mean(recall[is_known]),
            "unknown_recall": _mean(recall[~is_known]),
        }


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None


def task_of_pair(task: Task, pair: Pair | None) -> Task:
    """Return the task of a target as seen from a source domain.

    Raises:
        BadInputError: a predicted class has the name that stands for all unknown classes.
    """
    if pair is None or pair.is_closed or not isinstance(task, Classification):
        return task
    if not pair.unknown:
        return replace(task, classes=pair.predicted)
    if UNKNOWN in pair.predicted[:-1]:
        raise BadInputError(
            f"a class is called {UNKNOWN!r}, as those that the source lacks are together: give it "
            "another name"
        )
    return OpenSet(pair.predicted, task.smoothing)


def labels_of_pair(labels: NDArray[Any], classes: tuple[str, ...], pair: Pair | None) -> Any:
    """Return labels (n,) as class indices in the pair's task.

    Args:
        labels: indices of the target's own classes.
        classes: their names.
        pair: the classes of target and source; None for a target alone.
    """
    if pair is None or not pair.unknown:
        return labels
    last = len(pair.predicted) - 1
    new = [last if name in pair.unknown else pair.shared.index(name) for name in classes]
    return np.array(new, dtype=np.int64)[labels]
