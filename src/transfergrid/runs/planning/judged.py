"""How many examples validate: of a large target a part, which all of its cells share.

That is decided by the target alone, whatever the label budget: what all arms of a comparison share
is then the same along a curve over labels. A cell's identity and record hold the number.
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

    Where nobody typed one, that is `MOST_VALIDATION` of a pool of more than `LARGE_POOL`. "all" is
    the absence of a number, as it was before there were any.
    """
    told, number = training.config.get(KEY), None
    if told is None and _is_ours(training.config) and pool_size(target) > LARGE_POOL:
        number = MOST_VALIDATION
    if number is None and told != "all":
        return training
    return Option(training.name, {**training.config, KEY: number}, training.typed)


def _is_ours(training: Config) -> bool:
    """Return whether a training can be told the number; one of a user's own class may not."""
    return located(str(training.get("_target_"))) == target_of(Training)


def pool_size(target: Config) -> int:
    """Return how many labelled examples a target has; 0 where it cannot tell, as its check will."""
    with suppress(Exception):  # a domain of a user's own may raise anything
        return sum(build(target).outline().pool)
    return 0
