"""Weights that this program trains itself, on the inputs of a domain without its labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from transfergrid.records.arguments import Count, Part, Positive, Share, Whole
from transfergrid.records.component import Component
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.sources.made_here import MadeHere
from transfergrid.sources.source import Architecture, Maker, Source

if TYPE_CHECKING:
    from torch import nn

    from transfergrid.data.domain import Domain
    from transfergrid.sources.backbone import Backbone


class Method(NamedTuple):
    """The inputs and the arguments that a pretext task takes.

    Attributes:
        inputs: modalities: "image", "text", "vector".
        keys: arguments of the source that only some pretext tasks take, and this one does.
    """

    inputs: tuple[str, ...]
    keys: tuple[str, ...] = ()


METHODS = {
    "autoencoder": Method(("image", "vector"), ("width",)),
    "rotation": Method(("image",)),
    "simclr": Method(("image",), ("width", "temperature")),
    "byol": Method(("image",), ("width", "momentum")),
    "mae": Method(("image",), ("width", "masked")),
    "mlm": Method(("text",), ("masked",)),
}
"""The pretext tasks; each is a class of `runs.pretext`."""
PATCHES = 4
"""Number of patches, across and down, into which mae cuts an image."""
KEYS = ("width", "temperature", "momentum", "masked")
"""Arguments that only some methods take."""


@dataclass(frozen=True)
class PretrainedHere(MadeHere):
    """An architecture trained on a domain's inputs without its labels.

    Attributes:
        architecture: of the network that is trained.
        domain: the domain whose pool inputs it is trained on.
        training: the recipe of the training.
        method: the pretext task, a key of `METHODS`.
        start: pretrained weights to start from; by default they are random.
        seed: of the training; "block" trains a source anew for each seed block.
        width: of the layers that are discarded after training; None: 128.
        temperature: of simclr; None: 0.5.
        momentum: of byol's target network at the first step; None: 0.996.
        masked: share of the patches that mae masks, or of the tokens that mlm predicts; None: 0.75
            and 0.15.
    """

    architecture: Architecture
    domain: Domain
    training: Component
    method: Literal["autoencoder", "rotation", "simclr", "byol", "mae", "mlm"]
    start: Source | None = None
    seed: Whole | Literal["block"] = 0
    width: Count | None = None
    temperature: Positive | None = None
    momentum: Share | None = None
    masked: Part | None = None
    optional: ClassVar[tuple[str, ...]] = KEYS
    labelled: ClassVar[bool] = False
    shuffle_labels: ClassVar[bool] = False
    label_noise: ClassVar[float | None] = None

    @classmethod
    def about(cls) -> dict[str, Any]:
        """Add that no label of its domain is used."""
        return {**super().about(), "unlabelled": True}

    @property
    def given(self) -> dict[str, Any]:
        """The given arguments of its method."""
        return {key: told for key in KEYS if (told := getattr(self, key)) is not None}

    def head(self, backbone: Backbone, maker: Maker, block_seed: int) -> nn.Module:
        """Raise an error, because training without labels gives no classifier.

        Raises:
            ImpossibleError: always.
        """
        raise ImpossibleError(
            f"{backbone.title} learned by {self.method}, without labels: it has no classifier"
        )

    def check(self) -> None:
        """See `Source.check`."""
        if self.domain is None:
            raise BadInputError(
                "a source that is pretrained here needs inputs to learn from: "
                "target@source.domain=NAME"
            )
        method, holds = METHODS[self.method], self.domain.modality
        if holds not in method.inputs:
            others = [name for name, one in METHODS.items() if holds in one.inputs]
            raise BadInputError(
                f"source.method={self.method} learns from {' or '.join(method.inputs)}s, and "
                f"source.domain holds {holds}s: give source.method={' or '.join(others)}"
            )
        for key in self.given:
            if key not in method.keys:
                raise BadInputError(f"source.{key} means nothing to source.method={self.method}")
        if self.method == "mae" and self.masked is not None and self.masked > 1 - PATCHES**-2:
            raise BadInputError(
                f"source.masked={self.masked} takes out all of the {PATCHES**2} patches of an image"
            )
        super().check()
