"""The base class of methods that store the support and compare queries with it."""

import torch
from torch import Tensor, nn

from transfergrid.strategies import Data, Sizes
from transfergrid.strategies.few_examples.over_episodes import MetaLearned


class Remembering(MetaLearned):
    """Trained over episodes; then stores the features of the target's labelled examples."""

    kept: Tensor
    labels: Tensor

    def build(self, sizes: Sizes) -> None:
        super().build(sizes)
        self.head = nn.Identity()
        self.register_buffer("kept", torch.zeros(sizes.target, self.backbone.dim))
        self.register_buffer("labels", torch.zeros(sizes.target, dtype=torch.int64))

    def take(self, data: Data) -> None:
        """Store the features and labels of the target's support."""
        assert data.target is not None
        self.kept.copy_(data.target.features())
        self.labels.copy_(data.target.labels)
