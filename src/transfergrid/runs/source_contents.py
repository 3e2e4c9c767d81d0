"""What a source that is trained here is kept as: by all that its training depends on."""

from __future__ import annotations

from transfergrid.records.cell import PROTOCOL
from transfergrid.records.factory import config_of
from transfergrid.records.identity import canonical, digest
from transfergrid.sources.source import TrainedSource
from transfergrid.strategies.baselines.scratch import Scratch


def content_of(source: TrainedSource, seed: int) -> str:
    """Return the name of the folder that a source is kept in once it is trained under this seed."""
    recipe = canonical({**config_of(source), "seed": seed})
    return digest([PROTOCOL, Scratch.version, recipe])
