"""What a strategy needs and what it is compared with, in words that planning can read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SourceNeed = Literal["none", "architecture", "start", "weights"]
LabelNeed = Literal["required", "optional", "unused"]


@dataclass(frozen=True)
class Needs:
    """What must be there before a cell of this strategy is possible.

    Args:
        source: `weights` of the source; only its `architecture`; its `start`, the weights before
            the source domain was learned; or `none`.
        target_labels: `required`, `optional`, or `unused` (then all label budgets are one cell).
        source_domain: the source must bring a labelled domain, to learn from side by side.
        same_classes: source domain and target must have classes of the same names.
        unlabelled: target inputs without labels.
        teacher: the source adapted to the target beforehand.
        training: the shared steps; a closed form without them is one cell under every `training`.
    """

    source: SourceNeed = "weights"
    target_labels: LabelNeed = "required"
    source_domain: bool = False
    same_classes: bool = False
    unlabelled: bool = False
    teacher: bool = False
    training: bool = True


@dataclass(frozen=True)
class Baselines:
    """The strategies that a cell's gain is taken over, by name.

    Args:
        labelled: primary baseline where the cell has target labels; None for a reference arm.
        unlabelled: primary baseline at `labels=0`.
        exploratory: further comparisons, made where their cells exist.
    """

    labelled: str | None = "scratch"
    unlabelled: str | None = None
    exploratory: list[str] = field(default_factory=list)


def describe(needs: Needs, baselines: Baselines) -> dict[str, Any]:
    """Return both as the plain dicts that stand in a strategy's YAML under `about`."""
    return {"needs": asdict(needs), "baselines": asdict(baselines)}
