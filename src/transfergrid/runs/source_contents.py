"""Content hash of a source trained here: of all that its training depends on. No torch."""

from __future__ import annotations

from functools import cache

import yaml

from transfergrid.records.cell import PROTOCOL
from transfergrid.records.factory import config_of
from transfergrid.records.identity import canonical, digest
from transfergrid.records.shipped import conf_dir
from transfergrid.sources.pretrained_here import PretrainedHere
from transfergrid.sources.source import TrainedSource


def content_of(source: TrainedSource, seed: int) -> str:
    """Return the content hash, and folder name, of a source trained under this seed."""
    recipe = canonical({**config_of(source), "seed": seed})
    return digest([PROTOCOL, _version_of_training(source), recipe])


def _version_of_training(source: TrainedSource) -> int:
    """Return the version of the strategy, or of the pretext task, that trains a source."""
    if not isinstance(source, PretrainedHere):
        return version_of_training()
    from transfergrid.runs.pretext.tasks import pretext_of  # imports torch

    learner = pretext_of(source)
    assert learner is not None
    return learner.version


@cache
def version_of_training() -> int:
    """Return the version of the strategy that trains sources, from its shipped config."""
    text = (conf_dir() / "strategy" / "scratch.yaml").read_text(encoding="utf-8")
    return int(yaml.safe_load(text)["about"]["version"])
