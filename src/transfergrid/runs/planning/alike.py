"""What a baseline takes over from the arm that it is compared with, beside target and training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from transfergrid.runs.planning.plan import Arm, Option, architecture_name


class Alike:
    """Finds a baseline's source and strategy for an arm; equal options are the same objects."""

    def __init__(self) -> None:
        self._students: dict[tuple[Option, Option], Option] = {}
        self._encoders: dict[tuple[Option, Option], Option] = {}
        self._inner: dict[tuple[Option, str], Option] = {}

    def source(self, arm: Arm, strategy: Option) -> Option | None:
        """Return the baseline's source: the arm's or, if the arm has a student, its architecture.

        The student's architecture is taken where the baseline uses only an architecture.
        """
        student = arm.strategy.config.get("student")
        if student is None or arm.source is None or strategy.needs.source != "architecture":
            return arm.source
        key = (arm.source, arm.strategy)
        if key not in self._students:
            self._students[key] = Option(architecture_name(student), {"architecture": student})
        return self._students[key]

    def inner(self, strategy: Option, key: str) -> Option | None:
        """Return the strategy that another one holds at a key, such as "then"; None if none.

        Keys typed inside it stay typed, so that it runs as it does inside the other one.
        """
        config, path = strategy.config.get(key), f"{key}."
        if not isinstance(config, Mapping) or "_target_" not in config:
            return None
        if (strategy, key) not in self._inner:
            name = str(config["_target_"]).rsplit(".", 2)[-2]
            typed = frozenset(t.removeprefix(path) for t in strategy.typed if t.startswith(path))
            usual = {
                k.removeprefix(path): v for k, v in strategy.usual.items() if k.startswith(path)
            }
            self._inner[strategy, key] = Option(name, dict(config), typed, usual)
        return self._inner[strategy, key]

    def strategy(self, arm: Arm, strategy: Option) -> Option:
        """Return a baseline's strategy, with the arm's `encoder` where both have one."""
        encoder = arm.strategy.config.get("encoder")
        if encoder is None or strategy.config.get("encoder", encoder) == encoder:
            return strategy
        key = (arm.strategy, strategy)
        if key not in self._encoders:
            config = {**strategy.config, "encoder": encoder}
            self._encoders[key] = replace(strategy, config=config)
        return self._encoders[key]
