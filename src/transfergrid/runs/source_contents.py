"""What a source that is trained here is kept as: by all that its training depends on."""

from __future__ import annotations

from transfergrid.records.cell import PROTOCOL
from transfergrid.records.factory import config_of
from transfergrid.records.identity import canonical, digest
from transfergrid.runs.pretext.tasks import pretext_of
from transfergrid.sources.source import TrainedSource
from transfergrid.strategies.baselines.scratch import Scratch


def content_of(source: TrainedSource, seed: int) -> str:
    """Return the name of the folder that a source is kept in once it is trained under this seed."""
    recipe = canonical({**config_of(source), "seed": seed})
    learner = pretext_of(source) or Scratch
    return digest([PROTOCOL, learner.version, recipe])
