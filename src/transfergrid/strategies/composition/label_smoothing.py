"""Label smoothing."""

from __future__ import annotations

from transfergrid.strategies.composition.additions import Addition, Composed, refusal
from transfergrid.strategies.phases import Phase


class SmoothedLabels(Addition):
    """Spread a share of each label's mass over all classes (Szegedy et al. 2016, section 7).

    It applies to every loss computed by the task; validation scores do not use it.
    """

    key = "label_smoothing"

    def prepare(self, strategy: Composed, value: float) -> None:
        """Replace the strategy's tasks, target and sources, by ones that smooth their labels.

        Raises:
            ImpossibleError: the target's labels are numbers.
        """
        smoothed = strategy.task.smoothed(value)
        if smoothed is None:
            raise refusal(self.key, "it is for classes, and labels here are numbers")
        strategy.task = smoothed
        tasks = strategy.source_tasks
        strategy.source_tasks = tuple(task.smoothed(value) or task for task in tasks)

    def phases(self, strategy: Composed, value: float, phases: list[Phase]) -> list[Phase]:
        """Return the phases unchanged."""
        return phases
