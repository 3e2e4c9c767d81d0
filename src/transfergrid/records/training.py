"""The training that all arms of a comparison share: steps, batch size, optimiser, schedule, ..."""

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
    """Return 1: the full rate from the first to the last step."""
    return 1.0


def cosine(progress: float, warmup: float = 0.05) -> float:
    """Return a linear warm-up over the first 5 %, then half a cosine to 0 (Loshchilov 2017)."""
    if progress < warmup:
        return max(progress / warmup, 0.05)
    return 0.5 * (1.0 + math.cos(math.pi * (progress - warmup) / (1.0 - warmup)))


def inverse_decay(progress: float) -> float:
    """Return (1 + 10 p)^-0.75, the annealing of Ganin et al. 2016, section 5.2.2."""
    return float((1.0 + 10.0 * progress) ** -0.75)


def slanted_triangular(progress: float, cut: float = 0.1, ratio: float = 32.0) -> float:
    """Return a short linear rise, then a long linear fall (Howard & Ruder 2018, equation 3)."""
    p = progress / cut if progress < cut else 1.0 - (progress - cut) / (1.0 - cut)
    return (1.0 + p * (ratio - 1.0)) / ratio


SCHEDULES: dict[str, Callable[[float], float]] = {
    schedule.__name__: schedule
    for schedule in (constant, cosine, inverse_decay, slanted_triangular)
}
VALIDATION_FROM = 10
"""From this number of labels per class on, a part of the labels is used for validation."""
MOST_VALIDATION = 2000
"""Default upper limit on validation examples; an accuracy of 0.5 then has a standard error of about
one point."""
LARGE_POOL = 5 * MOST_VALIDATION
"""Above this number of labelled target examples, more than `MOST_VALIDATION` could validate."""
Schedule = Literal["constant", "cosine", "inverse_decay", "slanted_triangular"]
"""A key of `SCHEDULES`."""
Optimizer = Literal["adamw", "sgd"]
Augmentation = Literal["none", "light", "strong"]
"""One vocabulary for all modalities; each modality defines what a word means."""
AUGMENTATIONS: tuple[str, ...] = get_args(Augmentation)
Precision = Literal["32-true", "16-mixed", "bf16-mixed", "64-true"]


@dataclass(frozen=True)
class Training(Component):
    """The shared training budget. A strategy multiplies `lr` by its own factor, nothing else.

    Args:
        steps: optimiser steps, equal for all label budgets of a target.
        batch_size: examples per step from each stream (target, unlabelled, source); a training set
            smaller than that is used as one batch.
        optimizer: `adamw` or `sgd` (with Nesterov momentum).
        lr: base learning rate at the head.
        weight_decay: decoupled for AdamW, L2 for SGD.
        momentum: of SGD; AdamW keeps its betas.
        schedule: learning-rate schedule, a key of `SCHEDULES`.
        augmentation: augmentation of training inputs: `none`, `light` or `strong`. Images are
            rotated, scaled and shifted a little (light), or more, with colour changes and a part
            erased (strong). In texts each word is left out with probability 0.1 (light) or 0.25
            (strong).
        views: number of augmented views per example; every arm draws the same views, so that the
            outputs of a frozen part can be computed once and cached. None: a new view each time.
        precision: numeric precision, by Lightning's name.
        gradient_clip: largest norm of the gradient, or None.
        accumulate: number of micro-batches in which a step's batch is computed, to save memory.
            The gradient equals that of the whole batch if a loss is a mean over examples; BatchNorm
            and losses over whole batches see one micro-batch at a time.
        group_by: "length": texts of similar length share a batch, so that there is less padding.
            Length is counted in characters; the order stays seeded and is the same for every arm.
            None: batches are formed in the order in which examples are drawn.
        validations: how often the validation part is scored, spread evenly over the steps.
        validation_examples: how many of the labels set aside for validation are used; a seeded
            choice, the same for all arms. "all" or None: all of them. A grid replaces None by 2,000
            if its target has more than 10,000 labelled examples.

        selection: for cells without target labels: the rule that chooses the step, and the setting
            if one is searched; None: the last step. For a rule (or `oracle`) a fifth of the
            source's examples is held out, and target inputs are looked at without their labels.
        oracle: for the same cells: whether each look is also scored on the test part and by all
            rules, so that the rules can be compared. Nothing is chosen by the test score.

    Raises:
        BadInputError: a value has the wrong type or is out of range.
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
        """The largest number of examples used for validation; None: no limit."""
        return None if self.validation_examples == "all" else self.validation_examples
