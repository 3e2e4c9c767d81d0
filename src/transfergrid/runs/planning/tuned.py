"""A strategy's defaults under each kind of training, and its arguments that are searched.

What fits small networks from random weights does not fit a pretrained transformer. So a strategy's
`space` may give other defaults for a kind of training (`about.kind` in the training's YAML). They
are applied in planning: a cell's identity and record hold the value that was used. A grid may have
defaults of its own too (`strategy_defaults`), for settings chosen on the user's own data.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from transfergrid.records.cell import Cell, Labels
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.factory import Config
from transfergrid.records.keeping import can_validate
from transfergrid.runs.planning.plan import Option
from transfergrid.runs.tuning.searches import searched


def tuned(strategy: Option, training: Option | None) -> Option:
    """Return a strategy with the grid's defaults, else those of this kind of training.

    Values that were typed stay.
    """
    kind = kind_of(training.config if training is not None else None)
    config = _with_defaults(strategy.config, kind, strategy.typed, "")
    for key, value in strategy.usual.items():
        if key not in strategy.typed:
            config = _with(config, key.split("."), value)
    return strategy if config == strategy.config else replace(strategy, config=config)


def kind_of(training: Config | None) -> str:
    """Return the kind of a training, for which strategies may have defaults."""
    return str(((training or {}).get("about") or {}).get("kind") or "default")


def trials_before(cell: Config) -> int:
    """Return how many settings were tried, before the grid, to choose the defaults a cell runs.

    That is the strategy's `about.tuning_trials`: a number, or a number for each kind of training.
    It is 0 for a kind that is not listed, and 0 if the cell runs another learning rate than the
    default.
    """
    told = (cell["strategy"].get("about") or {}).get("tuning_trials", 0)
    if not _runs_the_usual_rate(cell):
        return 0
    return int(told.get(kind_of(cell["training"]), 0) if isinstance(told, Mapping) else told)


def _runs_the_usual_rate(cell: Config) -> bool:
    """Return whether a cell's learning rate is the default, or is none that a search chooses."""
    space = ((cell["strategy"].get("about") or {}).get("space") or {}).get("lr_factor")
    if not space:
        return True
    usual = (space.get("under") or {}).get(kind_of(cell["training"]), space.get("default"))
    return bool(cell["strategy"].get("lr_factor") == usual)


def unsearched(cells: Iterable[Cell]) -> list[str]:
    """Return lines on strategies whose learning rate no search chose for this kind of training."""
    found: dict[str, set[str]] = {}
    alike = {(cell.names, cell.parts): cell for cell in cells}  # any label budget and seed
    for cell in alike.values():
        space = ((cell.config["strategy"].get("about") or {}).get("space") or {}).get("lr_factor")
        if not space or cell.names.tuning is not None or trials_before(cell.config):
            continue
        if _runs_the_usual_rate(cell.config):
            name = cell.names.strategy.partition("(")[0]
            found.setdefault(kind_of(cell.config["training"]), set()).add(name)
    return [
        f"no search chose the learning rate of {', '.join(sorted(names))} under trainings of kind "
        f"{kind}: transfergrid tune does"
        for kind, names in found.items()
    ]


def _with(config: Config, path: Sequence[str], value: Any) -> Config:
    key, *inner = path
    return {**config, key: _with(config[key], inner, value) if inner else copy.deepcopy(value)}


def _with_defaults(config: Config, kind: str, typed: frozenset[str], path: str) -> Config:
    """Return a config with the defaults of a kind of training, also in strategies nested in it."""
    new = {
        key: _with_defaults(value, kind, typed, f"{path}{key}.")
        if isinstance(value, dict) and "_target_" in value
        else value
        for key, value in config.items()
    }
    for name, told in ((config.get("about") or {}).get("space") or {}).items():
        if kind in told.get("under", {}) and name in config and f"{path}{name}" not in typed:
            new[name] = told["under"][kind]
    return new


def untuned(tunings: Sequence[Option | None], cells: Iterable[Cell]) -> list[str]:
    """Return lines on the cells of a tuned grid that run once, without a search, and why."""
    if not all(map(_searches, tunings)):
        return []
    without = [cell for cell in cells if cell.names.tuning is None]
    held_out = all(tuning and tuning.config.get("held_out") for tuning in tunings)
    judged = {
        cell.id
        for cell in without
        if held_out or can_validate(cell.labels) or (cell.config["training"] or {}).get("selection")
    }
    budgets = sorted({cell.labels for cell in without if cell.id not in judged}, key=str)
    names = sorted({cell.names.strategy for cell in without if cell.id in judged})
    few = ", ".join(f"labels={budget}" for budget in budgets)
    lines = [
        (
            few,
            f"untuned, {few}: no label validates, so each strategy is run once, at its defaults or "
            "what it chooses without a validation part: said below the verdicts",
        ),
        (
            names,
            f"untuned, {', '.join(names)}: a search has no setting of it to try, so it is run "
            "once, with whatever it chooses by itself",
        ),
    ]
    return [line for there, line in lines if there]


def _searches(tuning: Option | None) -> bool:
    return tuning is not None and "trials" in tuning.config


def search_of(
    tuning: Option | None, strategy: Option, labels: Labels, by_rule: bool = False
) -> Option | None:
    """Return a search with the space that it searches of a strategy; None if nothing is searched.

    Arguments that were typed are not searched. Without validation labels, a rule that chooses
    without labels, or held-out labels, settings cannot be compared: the defaults are run.
    """
    if tuning is None or not _searches(tuning):
        return None
    if not (can_validate(labels) or by_rule or tuning.config.get("held_out")):
        return None
    only = tuning.config.get("only")
    space = (strategy.config.get("about") or {}).get("space") or {}
    typed = tuning.config.get("space") or {}
    free = {
        name: _range(strategy, name, told, typed.get(name, {}))
        for name, told in space.items()
        if name not in strategy.typed and (only is None or name in only)
    }
    if not free:
        return None
    told = {key: value for key, value in tuning.config.items() if key != "only"}
    told |= {"space": searched(free)}
    if told.get("warm_start") == "defaults":
        usual = {name: strategy.config.get(name) for name in free}
        known = {name: value for name, value in usual.items() if value is not None}
        inside = all(free[n]["low"] <= value <= free[n]["high"] for n, value in known.items())
        told |= {"first": [{"values": known}]} if inside else {"warm_start": None}
    return Option(tuning.name, told, tuning.typed)


def _range(strategy: Option, name: str, told: Any, typed: Any) -> Config:
    """Return the range in which an argument is searched; what was typed wins.

    Raises:
        BadInputError: it is not a range: low or high is missing or makes no sense.
    """
    where = f"tuning.space.{name}" if typed else f"strategy {strategy.name}: about.space.{name}"
    if (around := told.get("around")) and (usual := strategy.config.get(name)):
        told = {**told, "low": usual / around, "high": usual * around}  # around this kind's default
    both = {**told, **typed} if isinstance(typed, Mapping) else typed
    if not isinstance(both, Mapping) or not {"low", "high"} <= both.keys():
        raise BadInputError(f"{where} has no low and high")
    for key in typed:
        check_known(f"key of {where}", str(key), ("low", "high", "log"))
    low, high = both["low"], both["high"]
    if not all(type(end) in (int, float) and math.isfinite(end) for end in (low, high)):
        raise BadInputError(f"{where}: low and high are numbers, not {low} and {high}")
    if low > high or (both.get("log", True) and low <= 0):
        raise BadInputError(
            f"{where}: {low} to {high} is no range: low is not above high, and above 0 unless "
            "log is false"
        )
    return dict(both)


def check_budgets(tunings: Iterable[Option | None]) -> None:
    """Raise `BadInputError` if a search would use labels beyond the cell's own (`held_out`)."""
    for tuning in filter(None, tunings):
        if (more := tuning.config.get("held_out")) is not None:
            raise BadInputError(
                f"tuning.held_out={more}: labels beyond a cell's own choose defaults alone, in "
                "transfergrid tune"
            )


def check_searched(tunings: Iterable[Option | None], strategies: Iterable[Option]) -> None:
    """Raise `BadInputError` if a search names arguments that none of these strategies has.

    Also if `tuning.first` is typed, which planning fills.
    """
    spaces = [(option.config.get("about") or {}).get("space") or {} for option in strategies]
    known = sorted({name for space in spaces for name in space})
    for tuning in filter(None, tunings):
        if tuning.config.get("first"):
            raise BadInputError("tuning.first is planning's to fill: give tuning.warm_start")
        for name in tuning.config.get("space") or {}:
            check_known("argument in tuning.space", str(name), known)
        for name in tuning.config.get("only") or ():
            check_known("argument in tuning.only", str(name), known)
