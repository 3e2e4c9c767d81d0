"""The types of raw examples, of a network's inputs, and of the preprocessing in between.

Torch is imported for type checking only, because planning needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Raw: TypeAlias = Sequence[Any] | NDArray[Any]
"""Examples as one array or a list; an image is uint8 (H, W, C), in a list of differing shapes."""

Inputs: TypeAlias = "Tensor | dict[str, Tensor]"
"""A batch for a network: images (batch, C, H, W), or named tensors with the same number of rows.

If the first blocks of a backbone have been run ahead, their output takes the place of the inputs:
a tuple of tensors (a boundary), which only the backbone's `suffix` takes apart."""


class Preprocess(Protocol):
    """Makes a backbone's inputs from raw examples, in two steps."""

    def prepare(self, raw: Raw) -> Inputs:
        """Return the prepared examples, which can be cached: this step is deterministic."""

    def finish(self, prepared: Inputs, augmentation: str, rng: torch.Generator | None) -> Inputs:
        """Return the backbone's inputs: augmented (only if `rng` is given), then normalised."""


@runtime_checkable
class Drawing(Preprocess, Protocol):
    """A preprocessing whose augmentation draws a random number for each word of a text."""

    def drawn(self, prepared: Inputs) -> int:
        """Return for how many words of each of these texts `finish` draws a random number."""

    def drawing(self, ahead: int) -> Preprocess:
        """Return the same preprocessing, but drawing for `ahead` words of each text.

        Then it leaves out the same words as another one that draws for that many.
        """
