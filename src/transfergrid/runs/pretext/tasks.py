"""The pretext tasks by what they are called, and what each is of a source that learns by it."""

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
    """Return the task of a source that learns without labels; None where it learns from labels."""
    if not isinstance(source, PretrainedHere):
        return None
    made: Pretext = TASKS[source.method](**source.given)
    return made
