"""How many examples validate: on a large target only a part of the validation part is scored.

The target alone decides this number, whatever the label budget: so all arms of a comparison share
it along a whole curve over label budgets. A cell's identity and record hold the number.
"""

from __future__ import annotations

from contextlib import suppress

from transfergrid.records.factory import Config, build, target_of
from transfergrid.records.shipped import located
from transfergrid.records.training import LARGE_POOL, MOST_VALIDATION, Training
from transfergrid.runs.planning.plan import Option

KEY = "validation_examples"


def judged(training: Option, target: Config) -> Option:
    """Return a training with the number of examples that validate on this target, if not all do.

    A number that was typed stays. Otherwise it is `MOST_VALIDATION` for a pool of more than
    `LARGE_POOL`, and no number for a smaller one. "all" becomes None, which means no number.
    """
    told, number = training.config.get(KEY), None
    if told is None and _is_ours(training.config) and pool_size(target) > LARGE_POOL:
        number = MOST_VALIDATION
    if number is None and told != "all":
        return training
    return Option(training.name, {**training.config, KEY: number}, training.typed)


def _is_ours(training: Config) -> bool:
    """Return whether a training is our class, which takes the number; a user's own may not."""
    return located(str(training.get("_target_"))) == target_of(Training)


def pool_size(target: Config) -> int:
    """Return how many labelled examples a target has; 0 if it raises: its check then says why."""
    with suppress(Exception):  # a user's own domain may raise anything
        return sum(build(target).outline().pool)
    return 0
