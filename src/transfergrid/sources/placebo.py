"""Placebo sources: like another source, but without knowledge, to test where a gain comes from.

Raghu et al. 2019 ("Transfusion") found that weights with the right statistics but no structure give
part of the gain of pretrained weights.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from transfergrid.records.arguments import Whole
from transfergrid.records.errors import BadInputError
from transfergrid.records.seeds import generator
from transfergrid.sources.cards import Card
from transfergrid.sources.source import Architecture, Maker, Source
from transfergrid.sources.trained_here import TrainedHere

if TYPE_CHECKING:
    from torch import nn

    from transfergrid.data.domain import Domain
    from transfergrid.sources.backbone import Backbone

    Module = TypeVar("Module", bound=nn.Module)

How = Literal["permuted", "shuffled_labels", "noise"]


@dataclass(frozen=True)
class Placebo(Source):
    """A source without the knowledge of its source domain.

    Attributes:
        of: the source that it is compared with.
        how: "permuted" permutes the entries of each weight tensor of `of` at random;
            "shuffled_labels" and "noise" are trained like `of`: on its inputs with shuffled
            labels, or on random pixels with the same number of classes.
        seed: of the permutations or of the random pixels.
    """

    of: Source
    how: How = "permuted"
    seed: Whole = 0

    made_here: ClassVar[bool] = True
    knows: ClassVar[bool] = False

    @property
    def architecture(self) -> Architecture:
        """The architecture of `of`."""
        return self.of.architecture

    @property
    def domain(self) -> Domain | None:
        """None, because a placebo has no meaningful labels."""
        return None

    @property
    def recipe(self) -> Source:
        """The source that is loaded; for "permuted" its weights are then permuted."""
        if self.how == "permuted":
            return self.of
        if not isinstance(self.of, TrainedHere):
            raise BadInputError(
                f"a placebo by {self.how} must be of a source that is trained here; "
                "source.how=permuted is there for every source"
            )
        if self.how == "shuffled_labels":
            return dataclasses.replace(self.of, shuffle_labels=True)
        if self.of.architecture.modality != "image":
            raise BadInputError(
                "a placebo by noise learns from random pixels, and this source takes "
                f"{self.of.architecture.modality}s: give source.how=permuted or shuffled_labels"
            )
        return dataclasses.replace(self.of, domain=_noise_like(self.of.domain, self.seed))

    def initial(self) -> Backbone:
        """Return the start of the loaded source; for "permuted", with permuted weights."""
        initial = self.recipe.initial()
        return self._permuted(initial) if self.how == "permuted" else initial

    def load(self, maker: Maker, block_seed: int) -> Backbone:
        """See `Source.load`."""
        loaded = self.recipe.load(maker, block_seed)
        return self._permuted(loaded) if self.how == "permuted" else loaded

    def head(self, backbone: Backbone, maker: Maker, block_seed: int) -> nn.Module:
        """Return the head of the loaded source; for "permuted", with permuted weights."""
        head = self.recipe.head(backbone, maker, block_seed)
        return self._permuted(head) if self.how == "permuted" else head

    def told_card(self) -> Card:
        """Return the card of `of`."""
        return Card.read(self.of.known_card())

    def check(self) -> None:
        """See `Source.check`."""
        if isinstance(self.of, Placebo):
            raise BadInputError("a placebo of a placebo says nothing: give source.of a source")
        self.of.check()
        self.recipe.check()

    def _permuted(self, module: Module) -> Module:
        """Permute the entries of each floating-point tensor, including BatchNorm's statistics."""
        import torch

        with torch.no_grad():
            for name, tensor in module.state_dict().items():
                if tensor.is_floating_point():
                    rng = generator(self.seed, "placebo", name)
                    order = torch.from_numpy(rng.permutation(tensor.numel()))
                    flat = tensor.reshape(-1)[order.to(tensor.device)]
                    tensor.copy_(flat.view_as(tensor))
        return module


def _noise_like(domain: Domain, seed: int) -> Domain:
    """Return noise with the domain's number of classes and, if known, number and size of images."""
    from transfergrid.data.noise import Noise

    told: dict[str, Any] = {
        name: getattr(domain, name)
        for name in ("size", "per_class", "test_per_class")
        if isinstance(getattr(domain, name, None), int)
    }
    if not domain.classes:
        raise BadInputError(
            "a placebo that is trained on noise has classes, and the source's domain has numbers: "
            "give source.how=permuted or shuffled_labels"
        )
    return Noise(n_classes=len(domain.classes), seed=seed, **told)
