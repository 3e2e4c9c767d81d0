"""Learning-rate factors that were chosen under another training than the default one.

A strategy's YAML holds the factor that was chosen for it under `training=default`. What fits small
networks from random weights does not fit a pretrained transformer, so a training may say under
`about.lr_factors` which factors were chosen under it, by strategy. They are part of planning: a
cell's identity and record hold the factor that was used, wherever it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfergrid.records.errors import check_known
from transfergrid.records.factory import Config
from transfergrid.runs.planning.plan import Option

FACTOR = "lr_factor"


def tuned(strategy: Option, training: Option | None) -> Option:
    """Return a shipped strategy with the factors that were chosen under this training.

    A factor that was typed stays, and so does that of an option that is not shipped.
    """
    about = training.config.get("about") if training is not None else None
    factors = (about or {}).get("lr_factors")
    if not factors or strategy.name.partition("(")[0] != kind(strategy.config):
        return strategy
    config = _with_factors(strategy.config, factors, strategy.typed, "")
    return strategy if config == strategy.config else Option(strategy.name, config, strategy.typed)


def kind(config: Config) -> str:
    """Return the name of the file that a strategy's class is in, which is a shipped one's name."""
    return str(config["_target_"].rpartition(".")[0].rpartition(".")[2])


def _with_factors(
    config: Config, factors: Mapping[str, Any], typed: frozenset[str], path: str
) -> Config:
    """Return the config with its own factor replaced, and that of strategies inside it."""
    new = {
        key: _with_factors(value, factors, typed, f"{path}{key}.")
        if isinstance(value, dict) and "_target_" in value
        else value
        for key, value in config.items()
    }
    factor = factors.get(kind(config))
    if factor is not None and FACTOR in config and f"{path}{FACTOR}" not in typed:
        new[FACTOR] = factor
    return new


def check_factors(training: Option, strategies: list[str]) -> None:
    """Raise `BadInputError` where a training has a factor for a strategy that there is not."""
    for name in (training.config.get("about") or {}).get("lr_factors") or {}:
        check_known(f"strategy in {training.name}'s about.lr_factors", name, strategies)
