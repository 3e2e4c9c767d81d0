"""Requests of a command line: the cells, and how they are to be run.

Mistakes that the words alone show are refused here, before anything that computes, judges or draws
is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

from transfergrid.records import trust
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config, build
from transfergrid.records.identity import read_labels, read_seed
from transfergrid.records.printing import complain, told_os
from transfergrid.runs.launching import launchers
from transfergrid.runs.launching.settings import Settings
from transfergrid.runs.planning.plan import Asked
from transfergrid.verbs.configs.composing import Composer
from transfergrid.verbs.configs.keys import GROUPS
from transfergrid.verbs.configs.requests import Request, read_request
from transfergrid.verbs.rerunning import Rerun

if TYPE_CHECKING:
    from transfergrid.runs.launching.processes import Pool

Obey: TypeAlias = "Callable[[Asked, Composer, Pool, DictConfig], int]"
"""Carries out a parsed request; returns the exit code."""


def sweep(
    arguments: Sequence[str], params: Mapping[str, Any], config: DictConfig, loader: ConfigLoader
) -> int:
    """Run the requested grid and return the exit code.

    0: all cells are done. 1: cells failed. 2: the request is invalid. 130: interrupted.
    """
    try:
        return _sweep(arguments, params, config, loader)
    except BadInputError as error:
        complain(error)
        return 2
    except OSError as error:
        complain(told_os(error))
        return 2


def _sweep(
    arguments: Sequence[str], params: Mapping[str, Any], config: DictConfig, loader: ConfigLoader
) -> int:
    return obeyed(arguments, params, config, loader, _run)


def _run(asked: Asked, composer: Composer, pool: Pool, config: DictConfig) -> int:
    from transfergrid.verbs.sweep import run

    return run(asked, composer, pool, config)


def obeyed(
    arguments: Sequence[str],
    params: Mapping[str, Any],
    config: DictConfig,
    loader: ConfigLoader,
    obey: Obey,
) -> int:
    """Parse the request and carry it out, while workers import what cells need.

    Raises:
        BadInputError: the request is invalid.
    """
    asked, composer, settings = read(arguments, params, config, loader)
    from transfergrid.records.ledgers.ledger import (
        Ledger,  # imported after the checks above
    )
    from transfergrid.runs.launching.grids import begun

    ledger = Ledger(str(config.results))
    ledger.check_writable()
    with begun(ledger, settings, 0 if config.debug else asked.cells) as pool:
        return obey(asked, composer, pool, config)


def read(
    arguments: Sequence[str], params: Mapping[str, Any], config: DictConfig, loader: ConfigLoader
) -> tuple[Asked, Composer, Settings]:
    """Return the request, the composer that made it, and the settings for running cells.

    Raises:
        BadInputError: a word is wrong.
    """
    trust.allow(allowed_in(config))
    settings = settings_of(config)
    if type(config.debug) is not bool:
        raise BadInputError(f"debug={config.debug}: give true or false")
    Rerun(str(config.rerun))  # refuses a wrong word now
    if not config.results:
        raise BadInputError("results= names no folder")
    request = request_of(arguments, params, config, loader)
    composer = Composer(loader, str(config.hydra.job.config_name), request.settings)
    return ask(request, composer), composer, settings


def request_of(
    arguments: Sequence[str], params: Mapping[str, Any], config: DictConfig, loader: ConfigLoader
) -> Request:
    """Return the typed words, sorted into axes.

    Raises:
        BadInputError: a word is wrong.
    """
    places = [o for o in config.hydra.overrides.hydra if o.startswith("hydra.searchpath=")]
    return read_request([*places, *arguments], params, defaults_of(config), loader)


def ask(request: Request, composer: Composer) -> Asked:
    """Return the request with all its options composed.

    Raises:
        BadInputError: a name, key or value is wrong.
    """
    labels = list(dict.fromkeys(read_labels(value) for value in request.labels))
    seeds = list(dict.fromkeys(read_seed(value) for value in request.seeds))
    composer.compose_together(request.names)
    options = {group: composer.options(group, request.axes[group]) for group in GROUPS}
    return Asked(
        sources=options["source"],
        strategies=options["strategy"],
        targets=options["target"],
        trainings=options["training"],
        labels=labels,
        seeds=seeds,
        tunings=options["tuning"],
    )


def defaults_of(config: DictConfig) -> dict[str, str]:
    """Return the default of each part of a cell, by name."""
    choices = config.hydra.runtime.choices
    groups = {group: str(choices.get(group)) for group in GROUPS}  # "None" if a list was typed
    return {**groups, "labels": str(config.labels), "seed": str(config.seed)}


def settings_of(config: DictConfig) -> Settings:
    """Return the settings for running cells, on which no cell's id depends.

    Raises:
        BadInputError: a key or value is invalid.
    """
    trainer = _plain(config.trainer)
    choices = config.hydra.runtime.choices
    study = choices.get("study")
    tracking = _plain(config.tracking)
    trust.vouch(tracking)
    build(tracking)  # refuses a wrong key now
    name = None if study in (None, "null") else str(study)
    launcher = launchers.read(_plain(config.hydra.launcher), choices.get("hydra/launcher"))
    return Settings.read(trainer, tracking, name, str(config.keep), launcher)


def allowed_in(config: DictConfig) -> list[str]:
    """Return the modules that the user allows; see `trust`.

    Raises:
        BadInputError: the key `allow` is not a list of names.
    """
    told = OmegaConf.to_container(config)["allow"]  # type: ignore[index, call-overload]
    names = told.split(",") if isinstance(told, str) else told
    if not isinstance(names, list):
        raise BadInputError(f"allow={told}: give the names of modules, as in [my_strategies]")
    return [str(name) for name in names]


def _plain(node: Any) -> Config:
    plain = OmegaConf.to_container(node, resolve=True)
    assert isinstance(plain, dict)
    plain.pop("about", None)
    return plain  # type: ignore[return-value]
