"""The typed words that define a search space, and those that each trial is judged on.

    strategy=l2_sp,coral                     one of several values
    strategy.lr_factor='interval(0.1, 10)'   numbers; `tag(log, interval(...))` evenly by logarithm
    training.steps='int(interval(50, 200))'  whole numbers; `range(50, 201, 50)` with steps

Several seeds, label budgets and targets are not searched: every trial is run on all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from transfergrid.records.errors import BadInputError
from transfergrid.runs.tuning.studies import Dimension
from transfergrid.verbs.configs.requests import group_of, override_key, parse, values_of
from transfergrid.verbs.configs.several_sources import expanded

JUDGED_ON = ("labels", "seed", "target")


@dataclass(frozen=True)
class Words:
    """The typed words and a study's `params`, separated from what is searched.

    Attributes:
        space: by key, the values that may be tried.
        fixed: the words that are the same for all trials.
        params: the study's params that are the same for all trials.
    """

    space: dict[str, Dimension]
    fixed: list[str]
    params: dict[str, Any]

    def of(self, values: Mapping[str, str]) -> list[str]:
        """Return the words of one trial."""
        return [*self.fixed, *(f"{key}={value}" for key, value in values.items())]


def split(
    arguments: Sequence[str], params: Mapping[str, Any], loader: ConfigLoader | None
) -> Words:
    """Return what is searched and what is fixed; the command line wins over a study per key.

    Raises:
        BadInputError: a word cannot be parsed, or nothing is searched.
    """
    found = Words({}, [], {})
    typed = {}
    for word in arguments:
        [override] = parse([expanded(word)], loader)
        typed[override_key(override)] = override
        if _is_searched(override):
            found.space[override_key(override)] = _dimension(override)
        else:
            found.fixed.append(word)
    for key, value in params.items():
        [override] = parse([expanded(f"{key}={value}")], loader)
        if key in typed:
            continue
        if _is_searched(override):
            found.space[key] = _dimension(override)
        else:
            found.params[key] = value
    if not found.space:
        raise BadInputError(
            "hydra/sweeper=optuna has nothing to search: give a key several values, or numbers "
            "as in strategy.lr_factor='interval(0.1, 10)'"
        )
    return found


def _is_searched(override: Override) -> bool:
    group = group_of(override)
    whole = override_key(override) in JUDGED_ON
    return group is not None and not whole and override.is_sweep_override()


def _dimension(override: Override) -> Dimension:
    value, key = override.value(), override_key(override)
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, "log" in value.tags
        assert low is not None
        assert high is not None
        if not low < high or (log and low <= 0):
            word, above = str(override.input_line).lstrip("+"), ", above 0" if log else ""
            raise BadInputError(f"{word}: give a lower and a higher end{above}")
        return Dimension(low=low, high=high, log=log, whole=isinstance(low, int))
    if (
        isinstance(value, RangeSweep)
        and isinstance(value.start, int)
        and isinstance(value.step, int)
    ):
        each = [int(one) for one in values_of(override)]
        if len(each) > 1 and value.step > 0:
            return Dimension(low=each[0], high=each[-1], whole=True, step=value.step)
    choices = tuple(dict.fromkeys(values_of(override)))
    if not choices:
        raise BadInputError(f"{key}: {override.input_line} names nothing")
    return Dimension(choices=choices)
