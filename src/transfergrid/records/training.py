"""What every arm of a comparison shares: steps, batch size, optimiser, schedule, augmentation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

from annotated_types import Ge, Interval

from transfergrid.records.arguments import Count, NotNegative, Positive
from transfergrid.records.component import Component
from transfergrid.records.selection import KEYS, RuleName


def constant(progress: float) -> float:
    """Full rate from first to last step."""
    return 1.0


def cosine(progress: float, warmup: float = 0.05) -> float:
    """Linear warm-up over the first twentieth, then half a cosine to zero (Loshchilov 2017)."""
    if progress < warmup:
        return max(progress / warmup, 0.05)
    return 0.5 * (1.0 + math.cos(math.pi * (progress - warmup) / (1.0 - warmup)))


def inverse_decay(progress: float) -> float:
    """(1 + 10 p)^-0.75, the annealing of Ganin et al. 2016, section 5.2.2."""
    return float((1.0 + 10.0 * progress) ** -0.75)


def slanted_triangular(progress: float, cut: float = 0.1, ratio: float = 32.0) -> float:
    """Short linear rise, long linear fall (Howard & Ruder 2018, equation 3)."""
    p = progress / cut if progress < cut else 1.0 - (progress - cut) / (1.0 - cut)
    return (1.0 + p * (ratio - 1.0)) / ratio


SCHEDULES: dict[str, Callable[[float], float]] = {
    schedule.__name__: schedule
    for schedule in (constant, cosine, inverse_decay, slanted_triangular)
}
VALIDATION_FROM = 10
"""Labels a class from which on a part of them validates."""
MOST_VALIDATION = 2000
"""Examples that validate at most where nobody says how many: an accuracy of half is then known to
about one point."""
LARGE_POOL = 5 * MOST_VALIDATION
"""Labelled examples of a target, of which more than that many may validate."""
Schedule = Literal["constant", "cosine", "inverse_decay", "slanted_triangular"]
"""A key of `SCHEDULES`."""
Optimizer = Literal["adamw", "sgd"]
Augmentation = Literal["none", "light", "strong"]
"""One vocabulary for all modalities; what a word means is the modality's to say."""
AUGMENTATIONS: tuple[str, ...] = get_args(Augmentation)
Precision = Literal["32-true", "16-mixed", "bf16-mixed", "64-true"]


@dataclass(frozen=True)
class Training(Component):
    """The shared budget. A strategy multiplies `lr` by its own factor and changes nothing else.

    Args:
        steps: optimiser steps, equal for all label budgets of a target.
        batch_size: examples of each stream (target, unlabelled, source) in a step; a smaller
            training set is used whole.
        optimizer: `adamw` or `sgd` (with Nesterov momentum).
        lr: base learning rate at the head.
        weight_decay: decoupled for AdamW, L2 for SGD.
        momentum: of SGD; AdamW keeps its betas.
        schedule: how the rate moves with progress: a key of `SCHEDULES`.
        augmentation: of training inputs: `none`, `light` or `strong`. Images are turned, scaled
            and shifted a little (light), or more, with their colours changed and a part erased
            (strong); of texts each word is left out with probability 0.1 (light) or 0.25
            (strong).
        views: augmented views of each example, of which every arm draws the same ones; what a
            part that stands still makes of them is then computed once. None: a fresh view each
            time.
        precision: Lightning's name for it.
        gradient_clip: largest norm of the gradient, or None.
        accumulate: parts in which a step's batch is computed, to save memory. Gradients are those
            of the whole batch wherever a loss is a mean over examples; BatchNorm, and losses of
            whole batches, see one part at a time.
        group_by: "length": texts of like length share a step, so that less of it is padding. The
            order stays seeded and goes by the texts' characters, the same for every arm. None:
            they share one as they are drawn.
        validations: how often the validation part is scored, spread evenly over the steps.
        validation_examples: how many of the labels that may validate do, a seeded choice that is
            the same for all arms; "all", or None: all. A grid puts 2,000 in the place of None
            where its target holds more than 10,000 labelled examples.

        selection: of cells without target labels: by which rule their step is chosen, and their
            setting where one is searched; None: the last step. A fifth of the source's examples
            is then held out, and target inputs are looked at without their labels.
        oracle: of the same cells: whether each look is scored on the test part too, and by all
            rules, so that these can be compared. Nothing is chosen by it.

    Raises:
        BadInputError: a value makes no sense.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "training"
    optional: ClassVar[tuple[str, ...]] = ("views", "validation_examples", "group_by", *KEYS)

    steps: Count = 200
    batch_size: Annotated[int, Ge(2)] = 32
    optimizer: Optimizer = "adamw"
    lr: Positive = 0.01
    weight_decay: NotNegative = 0.01
    momentum: Annotated[float, Interval(ge=0, lt=1)] = 0.9
    schedule: Schedule = "cosine"
    augmentation: Augmentation = "light"
    views: Count | None = None
    precision: Precision = "32-true"
    gradient_clip: Positive | None = None
    accumulate: Count = 1
    validations: Count = 10
    validation_examples: Count | Literal["all"] | None = None
    group_by: Literal["length"] | None = None
    selection: RuleName | None = None
    oracle: bool | None = None

    @property
    def judges(self) -> int | None:
        """How many examples validate at most; None: all that there are."""
        return None if self.validation_examples == "all" else self.validation_examples
