"""The base class of strategies in which the source is frozen and a network beside it learns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Batch
from transfergrid.data.inputs import Inputs
from transfergrid.data.torch_seed import seed_torch
from transfergrid.records.needs import Transferred
from transfergrid.records.seeds import stream_seed
from transfergrid.sources.backbone import Backbone
from transfergrid.sources.source import Architecture
from transfergrid.strategies.base import Sizes, Strategy
from transfergrid.strategies.distillation.said import heard, memory
from transfergrid.strategies.phases import Group, Objective, Phase


def encoder_beside(strategy: Strategy, architecture: Architecture) -> Backbone:
    """Return a network for a strategy's inputs, with random weights that the seed block fixes.

    Raises:
        BadInputError: the architecture does not take these inputs.
    """
    seed_torch(stream_seed(strategy.block_seed, "beside"))
    return architecture.beside(strategy.backbone)


def head_on(strategy: Strategy, dim: int) -> nn.Module:
    """Return a new head on embeddings of this width, with weights that the seed block fixes."""
    seed_torch(stream_seed(strategy.block_seed, "head"))
    return strategy.task.head(dim)


STANDS_STILL = "the source stands still, and what learns beside it does not start from it"


class StillSource(Strategy):
    """The frozen source's features, joined with the outputs of a network beside it.

    Where examples are seen again unchanged (not augmented, or in k views), the source's features
    are computed once for each and cached.
    """

    closed_to: ClassVar[Mapping[str, str]] = {
        "layer_decay": STANDS_STILL,
        "l2_sp": STANDS_STILL,
        "probe_first": "the head is on more than the source's features",
    }
    transfers: ClassVar[Transferred] = "features"

    # What a subclass overrides -----------------------------------------------------------------

    @abstractmethod
    def joined(self, of_source: Tensor, inputs: Inputs) -> Tensor:
        """Return outputs (batch, outputs) of the source's features (batch, dim) and the inputs."""

    @abstractmethod
    def beside(self) -> list[Group]:
        """Return the groups that learn, except the head."""

    # What is the same for all ------------------------------------------------------------------

    @override
    def build(self, sizes: Sizes) -> None:
        self.scaffold["said"] = memory(self.training_plan, sizes.target, (self.backbone.dim,))

    @override
    def phases(self) -> list[Phase]:
        learns = Objective(self.loss, [self.head_group(), *self.beside()])
        return [Phase("train", [learns], cached=False)]

    @override
    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.labelled()
        with torch.no_grad():
            said, plan = self.scaffold["said"], self.training_plan
            of_source = heard(said, plan, seen, seen.inputs, self.features)
        return self.task.loss(self.joined(of_source, seen.inputs), seen.labels)

    @override
    def predict(self, inputs: Inputs) -> Tensor:
        return self.joined(self.features(inputs), inputs)
