"""Checks of what a strategy declares, in its class and in its YAML."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

from transfergrid.records import trust
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import build, config_of, locate, target_of
from transfergrid.records.needs import Baselines, Needs
from transfergrid.strategies.base import Strategy
from transfergrid.testing.bench import Bench
from transfergrid.testing.found import Broken, expect

ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a config file as it is, marked as trusted; its `defaults` are not resolved."""
    from omegaconf import OmegaConf

    config: dict[str, Any] = dict(OmegaConf.to_container(OmegaConf.load(path), resolve=False))  # type: ignore[arg-type]
    trust.vouch(config)
    return config


def parts_of(config: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the keys that a `defaults` list fills, as a map from key to (group, option)."""
    found = {}
    for entry in config.get("defaults", ()):
        for place, option in entry.items() if isinstance(entry, Mapping) else ():
            group, _, key = place.partition("@")
            found[key or group.strip("/")] = (group.strip("/"), option)
    return found


def arguments_in(yaml: Path, strategy_class: type[Strategy]) -> dict[str, Any]:
    """Return the arguments that have no default in the class, built from the YAML."""
    config, signature = read_yaml(yaml), inspect.signature(strategy_class).parameters
    asked = [p.name for p in signature.values() if p.default is p.empty and p.kind not in ANY]
    return {key: _argument(key, config, yaml) for key in asked if key in _keys(config)}


def _argument(key: str, config: Mapping[str, Any], yaml: Path) -> Any:
    from transfergrid.records.shipped import conf_dir

    if key not in parts_of(config):
        return build(config[key])
    group, option = parts_of(config)[key]
    own, shipped = (root / group / f"{option}.yaml" for root in (yaml.parents[1], conf_dir()))
    return build(read_yaml(own if own.exists() else shipped))


def _keys(config: Mapping[str, Any]) -> set[str]:
    return ({*config} - {"_target_", "about", "defaults"}) | {*parts_of(config)}


def arguments_equal_yaml_keys(bench: Bench) -> None:
    """The constructor takes plain named arguments, and the YAML lists exactly these."""
    parameters = inspect.signature(bench.strategy_class).parameters
    loose = [f"*{p.name}" for p in parameters.values() if p.kind in ANY]
    expect(
        not loose,
        f"the constructor takes {', '.join(loose)}",
        "Name every argument: they are the keys of the YAML and part of a cell's identity",
    )
    if bench.yaml is None:
        return
    keys = _keys(read_yaml(bench.yaml))
    for missing, where in ((parameters.keys() - keys, "YAML"), (keys - parameters.keys(), "class")):
        expect(
            not missing,
            f"{', '.join(sorted(missing))} is missing in the {where}",
            f"The keys of {bench.yaml.name} and the constructor's arguments must be the same",
        )


def yaml_values_equal_defaults(bench: Bench) -> None:
    """If an argument has a default in the class or its space, the YAML has the same value."""
    if bench.yaml is None:
        return
    config, made = read_yaml(bench.yaml), bench.strategy().hparams
    for name in made.keys() & config.keys() - bench.arguments.keys():
        expect(
            config[name] == config_of(made[name]),
            f"{name} is {config[name]!r} in {bench.yaml.name} and {made[name]!r} by default",
            "Python and command line must mean the same by a strategy's name: use one value",
        )


def yaml_describes_the_class(bench: Bench) -> None:
    """The YAML names this class, and its `about` repeats what the class declares."""
    if bench.yaml is None:
        return
    config, cls, file = read_yaml(bench.yaml), bench.strategy_class, bench.yaml.name
    expect(
        locate(str(config.get("_target_", "?"))) is cls,
        f"_target_ in {file} is {config.get('_target_')}",
        f"Write _target_: {target_of(cls)}",
    )
    about = config.get("about") or {}
    said = _described(about)
    for key, value in _described(cls.about()).items():
        expect(
            said.get(key) == value,
            f"about.{key} in {file} says {said.get(key)}, the class {value}",
            "Planning reads the YAML and imports no class: "
            f"`transfergrid describe {target_of(cls)} --write {file}` writes the same into both",
        )
    expect(about.get("help"), f"{file} has no about.help", "Say in one line what the method does")


def _described(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the contents of an `about`, with defaults for the keys that it leaves out."""
    usual = {k: v for k, v in Strategy.about().items() if k != "version"}
    needs = Needs.read(about.get("needs", {}))
    return {
        **usual,
        **about,
        "needs": needs,
        "baselines": Baselines.read(about.get("baselines", {})),
    }


def survives_its_own_config(bench: Bench) -> None:
    """Serialised to a config and built again, it is the same strategy."""
    first = config_of(bench.strategy())
    own = set(inspect.signature(bench.strategy_class).parameters)
    said = {*first} - {"_target_", "about"}
    mend = (
        "Hand lr_factor and schedule to super().__init__, change no argument before that, "
        "and take plain values or components as arguments"
    )
    expect(said == own, f"its config has {sorted(said)}, its constructor takes {sorted(own)}", mend)
    try:
        again = config_of(_rebuilt(bench, first))
    except (BadInputError, TypeError, ValueError) as error:
        raise Broken(f"its config cannot be built again: {error}. {mend}.") from error
    changed = [f"{k}: {first[k]} became {again[k]}" for k in sorted(said) if first[k] != again[k]]
    expect(not changed, f"built from its own config it is another one ({'; '.join(changed)})", mend)


def _rebuilt(bench: Bench, config: dict[str, Any]) -> Strategy:
    """Build from a config that went through JSON, as for a worker; the class is given."""
    plain = {k: v for k, v in config.items() if k not in ("_target_", "about")}
    made: Strategy = bench.strategy_class(**build(json.loads(json.dumps(plain))))
    return made


def space_fits_the_constructor(bench: Bench) -> None:
    """Each tunable name is an argument, with the constructor's default, within its range.

    So a search starts from the strategy's defaults.
    """
    space, made = bench.strategy_class.space, bench.strategy().hparams
    check = "Name arguments of the constructor, and give space and constructor one default"
    unknown = sorted(space.keys() - made.keys())
    expect(not unknown, f"space has {', '.join(unknown)}, which the constructor does not", check)
    for name, told in space.items():
        usual = made[name]
        expect(
            name in bench.arguments or usual == told.default,
            f"{name} is {usual!r} by the constructor and {told.default!r} by the space",
            check,
        )
        known = [v for v in (told.default, *told.under.values()) if v is not None]
        outside = [v for v in known if not told.low <= v <= told.high]
        expect(
            told.low < told.high and not outside and (told.low > 0 or not told.log),
            f"the space of {name} goes from {told.low} to {told.high}"
            f"{' by its logarithm' if told.log else ''}, its defaults are "
            f"{[told.default, *told.under.values()]}",
            "Let low be below high, every default within, and low above 0 where log is True",
        )


OLD = ("prepare", "trainable", "training_only", "param_groups")
"""Methods that an author might define, though nothing calls them: `phases` has their part."""
STEPS = (
    "training_step",
    "validation_step",
    "test_step",
    "predict_step",
    "configure_optimizers",
    "configure_callbacks",
    "configure_gradient_clipping",
    "optimizer_step",
    "optimizer_zero_grad",
    "backward",
    "lr_scheduler_step",
)
"""Methods that Lightning calls on its modules, beside its hooks."""


def defines_nothing_that_nobody_calls(bench: Bench) -> None:
    """It defines no hooks of a LightningModule and no other methods that nothing calls."""
    own = [kind for kind in bench.strategy_class.__mro__ if _is_below(kind)]
    uncalled = _hooks() | {*OLD}
    for kind in own:
        odd = sorted(n for n in uncalled & vars(kind).keys() if not _is_named(n, own))
        expect(
            not odd,
            f"{kind.__name__} defines {', '.join(odd)}, which nobody calls",
            "Say in phases() who learns from what, and what is computed before a phase and again "
            "every so often; rates, steps and devices are the driver's",
        )


def _is_below(kind: type) -> bool:
    return issubclass(kind, Strategy) and kind is not Strategy


def _hooks() -> set[str]:
    """Return the names of all methods that Lightning calls on its modules."""
    from pytorch_lightning.core.hooks import CheckpointHooks, DataHooks, ModelHooks

    hooks = {name for kind in (CheckpointHooks, DataHooks, ModelHooks) for name in vars(kind)}
    return {name for name in hooks if not name.startswith("_")} | {*STEPS}


def _is_named(name: str, kinds: Sequence[type]) -> bool:
    """Return whether another method of these classes uses this name, so that it may be called."""
    methods = [(key, value) for kind in kinds for key, value in vars(kind).items() if key != name]
    return any(name in _names(getattr(value, "__code__", None)) for _, value in methods)


def _names(code: CodeType | None) -> set[str]:
    if code is None:
        return set()
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    return set(code.co_names).union(*map(_names, inner))
