"""Training a teacher: another strategy's phases, to be run before those of the student."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Data, Phase, Rate


def teaching(teacher: Strategy) -> list[Phase]:
    """Return the phases that train an attached strategy as a teacher, for the student to run first.

    They train as the teacher's own cell would: its rates, its batches, its choice of the best step.
    """
    schedule: str | Rate = teacher.schedule or teacher.training_plan.schedule
    return [
        replace(
            phase,
            counts="teacher",
            cached=False,
            before=partial(_seen_by, teacher, phase.before) if phase.before else None,
            lr_factor=teacher.lr_factor if phase.lr_factor is None else phase.lr_factor,
            schedule=phase.schedule or schedule,
            predicts=phase.predicts or teacher.predict,
        )
        for phase in teacher.all_phases()
    ]


def _seen_by(teacher: Strategy, before: Callable[[Data], None], data: Data) -> None:
    before(data.by(teacher))
