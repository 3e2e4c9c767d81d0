"""Sources that look like others and know nothing: is a gain the source's knowledge?

Raghu et al. 2019 ("Transfusion") found that weights with the right statistics and no structure
bring part of what pretrained ones bring.
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
    """A source without what its source domain has to teach.

    Attributes:
        of: the source that it stands beside.
        how: "permuted" has the entries of each weight tensor of `of` in random order;
            "shuffled_labels" and "noise" are trained as `of` is, on its images with labels in
            random order, or on random pixels with as many classes.
        seed: of the permutations or of the random pixels.
    """

    of: Source
    how: How = "permuted"
    seed: Whole = 0

    made_here: ClassVar[bool] = True
    knows: ClassVar[bool] = False

    @property
    def architecture(self) -> Architecture:
        """The same as that of `of`."""
        return self.of.architecture

    @property
    def domain(self) -> Domain | None:
        """None: a placebo brings no labels that mean anything."""
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
        """Return what `of` begins with, permuted likewise."""
        initial = self.recipe.initial()
        return self._permuted(initial) if self.how == "permuted" else initial

    def load(self, maker: Maker, block_seed: int) -> Backbone:
        """See `Source.load`."""
        loaded = self.recipe.load(maker, block_seed)
        return self._permuted(loaded) if self.how == "permuted" else loaded

    def head(self, backbone: Backbone, maker: Maker, block_seed: int) -> nn.Module:
        """Return that of what is loaded, permuted likewise."""
        head = self.recipe.head(backbone, maker, block_seed)
        return self._permuted(head) if self.how == "permuted" else head

    def told_card(self) -> Card:
        """Return that of `of`."""
        return Card.read(self.of.known_card())

    def check(self) -> None:
        """See `Source.check`."""
        if isinstance(self.of, Placebo):
            raise BadInputError("a placebo of a placebo says nothing: give source.of a source")
        self.of.check()
        self.recipe.check()

    def _permuted(self, module: Module) -> Module:
        """Reorder each floating-point tensor's entries, BatchNorm's statistics included."""
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
    """Return noise with as many classes, and as many images of the same size where that is told."""
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
