"""What goes into a network, and who makes it: raw examples, the inputs, the preprocessing.

Torch is named here and not imported: a plan is made without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Raw: TypeAlias = Sequence[Any] | NDArray[Any]
"""One array or a list; an image is uint8 (H, W, C), and sizes and C may differ in a list."""

Inputs: TypeAlias = "Tensor | dict[str, Tensor]"
"""A batch for a network: images (batch, C, H, W), or named tensors of one length each.

Where the first blocks of a backbone have been run ahead, what they made stands for it: a tuple of
tensors, which nobody but the backbone's `suffix` takes apart."""


class Preprocess(Protocol):
    """Makes a backbone's inputs out of raw examples, in two steps."""

    def prepare(self, raw: Raw) -> Inputs:
        """Return what can be kept: the same for an example every time it is asked for."""

    def finish(self, prepared: Inputs, augmentation: str, rng: torch.Generator | None) -> Inputs:
        """Return the backbone's inputs: augmented (never without `rng`), then normalised."""


@runtime_checkable
class Drawing(Preprocess, Protocol):
    """One whose augmentation takes a number for each word of a text: as many as the text has."""

    def drawn(self, prepared: Inputs) -> int:
        """Return for how many words of each of these texts `finish` draws a number."""

    def drawing(self, ahead: int) -> Preprocess:
        """Return the same, that leaves out the words that one with so many to draw for does."""
