"""Defaults that a strategy has under a kind of training.

What fits small networks from random weights does not fit a pretrained transformer, so a strategy's
own `space` may say other defaults for a kind of training: `about.kind` in the training's YAML. They
are part of planning: a cell's identity and record hold the value that was used.
"""

from __future__ import annotations

from transfergrid.records.factory import Config
from transfergrid.runs.planning.plan import Option


def tuned(strategy: Option, training: Option | None) -> Option:
    """Return a strategy with its own defaults for this kind of training; what was typed stays."""
    kind = (training.config.get("about") or {}).get("kind") if training is not None else None
    if not kind:
        return strategy
    config = _with_defaults(strategy.config, str(kind), strategy.typed, "")
    return strategy if config == strategy.config else Option(strategy.name, config, strategy.typed)


def _with_defaults(config: Config, kind: str, typed: frozenset[str], path: str) -> Config:
    """Return a config with the defaults of a kind of training, those of strategies in it too."""
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
