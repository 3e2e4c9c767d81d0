"""Configs as the command line composes them, without starting it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from transfergrid.records.shipped import conf_dir
from transfergrid.runs.planning.plan import Asked, Plan
from transfergrid.verbs.asking import ask
from transfergrid.verbs.configs.composing import Composer, described, finished
from transfergrid.verbs.configs.requests import read_request
from transfergrid.verbs.configs.typed_words import prepared
from transfergrid.verbs.sweep import make_plan

DEFAULTS = {
    "source": "glyph_digits",
    "strategy": "full_finetuning",
    "target": "digits",
    "training": "default",
    "tuning": "none",
    "labels": "20",
    "seed": "0",
}
NEEDED = {
    "timm": ["source.model=resnet18"],
    "torchvision": ["source.model=resnet18"],
    "checkpoint": ["source.model=resnet18", "source.file=weights.safetensors"],
    "own_network": [
        *("source.network=mine.net", "source.file=weights.safetensors", "source.size=32"),
        *("source.mean=[0.5]", "source.std=[0.5]"),
    ],
    "image_folder": ["target.root=photos"],
    "unlabelled_images": ["target.root=photos"],
    "arrays": ["target.file=scans.npz"],
    "image_table": ["target.file=scans.csv"],
    "target=torchvision": ["target.dataset=MNIST", "target.root=data"],
    "text_table": ["target.file=reviews.csv"],
    "target=vectors": ["target.file=rows.csv"],
    "target=ratings": ["target.file=ratings.csv"],
    "source=ratings": ["source.domain.file=ratings.csv"],
    "mlp": ["source.domain.file=rows.csv", "source.architecture.inputs=3"],
    "linear": ["source.domain.file=rows.csv", "source.architecture.inputs=3"],
}
"""What an option has no default for; two of one name are told apart by their group."""


def needed(group: str, name: str) -> list[str]:
    """Return overrides that an option of a group cannot do without."""
    return NEEDED.get(f"{group}={name}", NEEDED.get(name, []))


@cache
def loader() -> ConfigLoader:
    """Return Hydra's loader of the shipped configs."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        return hydra.config_loader


@cache
def composer(*settings: str) -> Composer:
    """Return a composer over the shipped configs; what it composes is kept for all tests."""
    return Composer(loader(), "config", settings)


def requested(*arguments: str, params: dict[str, Any] | None = None) -> tuple[Asked, Composer]:
    """Return what these overrides ask for, and the composer that read them."""
    opened = [prepared(a) if a.startswith("strategy_defaults") else a for a in arguments]
    request = read_request(opened, params or {}, DEFAULTS, loader())
    made = composer(*request.settings)
    return ask(request, made), made


def asked(*arguments: str, params: dict[str, Any] | None = None) -> Asked:
    """Return what these overrides ask for."""
    return requested(*arguments, params=params)[0]


def planned(*arguments: str, references: Sequence[str] = ()) -> Plan:
    """Return the plan of these overrides."""
    return make_plan(*requested(*arguments), references)


def whole(*arguments: str) -> dict[str, Any]:
    """Return the five groups as Hydra composes the primary config once, shortcuts taken out."""
    overrides = [prepared(argument) for argument in arguments]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", overrides), resolve=True)
    assert isinstance(config, dict)
    return {
        group: finished(described(config[group]))
        for group in ("source", "strategy", "target", "training", "tuning")
    }
