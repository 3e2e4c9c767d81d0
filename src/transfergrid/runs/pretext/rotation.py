"""Pretext task: tell by how many quarter turns an image was rotated."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfergrid.records.errors import BadInputError
from transfergrid.runs.pretext.base import Pretext, images_of, pixels_of
from transfergrid.strategies import Batch

QUARTERS = 4


def turned(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return images (n, c, h, h) rotated by 0 to 3 quarter turns, and the numbers of turns.

    Rotation is counterclockwise. All are in one batch, (4 n, c, h, h), the unrotated ones first.
    """
    four = [torch.rot90(images, quarters, (2, 3)) for quarters in range(QUARTERS)]
    labels = torch.arange(QUARTERS, device=images.device).repeat_interleave(len(images))
    return torch.cat(four), labels


class Rotation(Pretext):
    """A linear head tells which of four ways up an image is; all four are in each batch.

    A 6 rotated by a half turn is a 9, and a 0 stays a 0: on digits the task cannot be solved fully.
    How far it was solved is reported as `accuracy`.

    Source: Gidaris et al. 2018, Unsupervised representation learning by predicting image rotations,
    ICLR, arXiv 1803.07728, section 2.
    """

    finds = ("accuracy",)

    def __init__(self) -> None:
        super().__init__()

    def make(self) -> None:
        """See `Pretext.make`.

        Raises:
            BadInputError: images are not square.
        """
        high, wide = pixels_of(self.backbone)
        if high != wide:
            raise BadInputError(
                f"source.method=rotation turns square images, and {self.backbone.title} takes "
                f"{high} by {wide} pixels"
            )
        self.scaffold["quarters"] = nn.Linear(self.backbone.dim, QUARTERS)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """See `Pretext.loss`."""
        images, labels = turned(images_of(batch))
        outputs = self.scaffold["quarters"](self.features(images))
        self.note(accuracy=(outputs.argmax(1) == labels).float().mean())
        return nn.functional.cross_entropy(outputs, labels)
