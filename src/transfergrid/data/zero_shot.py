"""Zero-shot learning: some target classes have no examples to learn from; scores for both kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from transfergrid.data.task import Classification, Task


@dataclass(frozen=True)
class ZeroShot(Classification):
    """Seen and unseen classes in one label space: predictions range over all of them.

    Attributes:
        seen: names of the classes of which the source has examples; the others are unseen.
    """

    seen: tuple[str, ...] = ()

    @override
    def scores(self, predicted: Tensor, labels: Tensor) -> dict[str, float | None]:
        """Return every metric, and those of zero-shot learning (Xian et al. 2017, section 4).

        `seen` and `unseen` are mean accuracies over the seen and unseen classes that occur;
        `harmonic` is their harmonic mean. None where no such class occurs.
        """
        found = self.by_class(predicted, labels)
        seen = _mean([found[name] for name in self.seen])
        unseen = _mean([found[name] for name in self.classes if name not in self.seen])
        both = None if seen is None or unseen is None else harmonic_mean(seen, unseen)
        told = {"seen": seen, "unseen": unseen, "harmonic": both}
        return {**super().scores(predicted, labels), **told}

    @override
    def by_class(self, predicted: Tensor, labels: Tensor) -> dict[str, float | None]:
        right = labels[predicted.argmax(dim=1) == labels]
        hits, there = (part.bincount(minlength=self.outputs) for part in (right, labels))
        counts = zip(self.classes, hits.tolist(), there.tolist(), strict=True)
        return {name: hit / count if count else None for name, hit, count in counts}


def harmonic_mean(seen: float, unseen: float) -> float:
    """Return 2su / (s + u), or 0 if both are 0.

    Source: Xian et al. 2017, arXiv 1703.04394, equation 12.
    """
    total = seen + unseen
    return 2 * seen * unseen / total if total else 0.0


def zero_shot(task: Task, seen: Sequence[str] | None) -> Task:
    """Return a task that also scores seen and unseen classes; the task itself if `seen` is None."""
    if seen is None or not isinstance(task, Classification):
        return task
    return ZeroShot(task.classes, task.smoothing, tuple(seen))


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(torch.tensor(there, dtype=torch.float64).mean()) if there else None
