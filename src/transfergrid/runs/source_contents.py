"""What a source that is trained here is kept as: by all that its training depends on. No torch."""

from __future__ import annotations

from functools import cache

import yaml

from transfergrid.records.cell import PROTOCOL
from transfergrid.records.factory import config_of
from transfergrid.records.identity import canonical, digest
from transfergrid.records.shipped import conf_dir
from transfergrid.sources.source import TrainedSource


def content_of(source: TrainedSource, seed: int) -> str:
    """Return the name of the folder that a source is kept in once it is trained under this seed."""
    recipe = canonical({**config_of(source), "seed": seed})
    return digest([PROTOCOL, version_of_training(), recipe])


@cache
def version_of_training() -> int:
    """Return the version of the strategy that trains sources, as its shipped config tells it."""
    text = (conf_dir() / "strategy" / "scratch.yaml").read_text(encoding="utf-8")
    return int(yaml.safe_load(text)["about"]["version"])
