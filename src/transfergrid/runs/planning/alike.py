"""What a baseline shares with the arm that it is compared with, beside target and training."""

from __future__ import annotations

from dataclasses import replace

from transfergrid.runs.planning.plan import Arm, Option, architecture_name


class Alike:
    """Finds a baseline's source and strategy for an arm; equal ones are the same objects."""

    def __init__(self) -> None:
        self._students: dict[tuple[Option, Option], Option] = {}
        self._encoders: dict[tuple[Option, Option], Option] = {}

    def source(self, arm: Arm, strategy: Option) -> Option | None:
        """Return the arm's source; with the student's architecture where that is compared."""
        student = arm.strategy.config.get("student")
        if student is None or arm.source is None or strategy.needs.source != "architecture":
            return arm.source
        key = (arm.source, arm.strategy)
        if key not in self._students:
            self._students[key] = Option(architecture_name(student), {"architecture": student})
        return self._students[key]

    def strategy(self, arm: Arm, strategy: Option) -> Option:
        """Return a baseline's strategy; with the encoder that the arm has beside its source."""
        encoder = arm.strategy.config.get("encoder")
        if encoder is None or strategy.config.get("encoder", encoder) == encoder:
            return strategy
        key = (arm.strategy, strategy)
        if key not in self._encoders:
            config = {**strategy.config, "encoder": encoder}
            self._encoders[key] = replace(strategy, config=config)
        return self._encoders[key]
