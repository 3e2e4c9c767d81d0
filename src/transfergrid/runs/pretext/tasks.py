"""The pretext tasks by name, and the task of a source that learns without labels."""

from __future__ import annotations

from transfergrid.runs.pretext.autoencoder import Autoencoder
from transfergrid.runs.pretext.base import Pretext
from transfergrid.runs.pretext.byol import Byol
from transfergrid.runs.pretext.mae import Mae
from transfergrid.runs.pretext.mlm import Mlm
from transfergrid.runs.pretext.rotation import Rotation
from transfergrid.runs.pretext.simclr import Simclr
from transfergrid.sources.pretrained_here import PretrainedHere
from transfergrid.sources.source import TrainedSource

TASKS: dict[str, type[Pretext]] = {
    "autoencoder": Autoencoder,
    "rotation": Rotation,
    "simclr": Simclr,
    "byol": Byol,
    "mae": Mae,
    "mlm": Mlm,
}


def pretext_of(source: TrainedSource) -> Pretext | None:
    """Return the pretext task of a source; None if it learns from labels."""
    if not isinstance(source, PretrainedHere):
        return None
    made: Pretext = TASKS[source.method](**source.given)
    return made
