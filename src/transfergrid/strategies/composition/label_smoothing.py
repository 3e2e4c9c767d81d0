"""Labels that are not quite certain."""

from __future__ import annotations

from transfergrid.strategies.composition.additions import Addition, Composed, refusal
from transfergrid.strategies.phases import Phase


class SmoothedLabels(Addition):
    """A share of each label's mass is spread over all classes (Szegedy et al. 2016, section 7).

    It holds for every loss that is the task's; a validation part is scored without it.
    """

    key = "label_smoothing"

    def prepare(self, strategy: Composed, value: float) -> None:
        """Let the strategy's tasks smooth their labels.

        Raises:
            ImpossibleError: labels are numbers.
        """
        smoothed = strategy.task.smoothed(value)
        if smoothed is None:
            raise refusal(self.key, "it is for classes, and labels here are numbers")
        strategy.task = smoothed
        tasks = strategy.source_tasks
        strategy.source_tasks = tuple(task.smoothed(value) or task for task in tasks)

    def phases(self, strategy: Composed, value: float, phases: list[Phase]) -> list[Phase]:
        """Return the same phases."""
        return phases
