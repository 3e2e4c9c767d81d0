"""Fine-tune so that noise on the network's inputs changes no prediction (R3F)."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from transfergrid.sources.backbone import Backbone
from transfergrid.strategies import (
    Baselines,
    Batch,
    ImpossibleError,
    Inputs,
    Needs,
    NotNegative,
    Range,
    Sizes,
    Strategy,
    rates,
)
from transfergrid.strategies.draws import own_generator
from transfergrid.strategies.modes import unrecorded_statistics

Noise = Literal["uniform", "normal"]
ON_TOKENS, ON_PIXELS = 1e-5, 0.1
"""The default size of the noise."""


def symmetric_divergence(clean: Tensor, noised: Tensor) -> Tensor:
    """Return KL(p | q) + KL(q | p), summed over classes, averaged over the batch.

    Args:
        clean: logits of p, (batch, classes).
        noised: logits of q, (batch, classes).
    """
    p, q = clean.log_softmax(1), noised.log_softmax(1)
    return ((p.exp() - q.exp()) * (p - q)).sum(1).mean()


class R3f(Strategy):
    """Fine-tuning whose predictions must stay where they are when its inputs are a little noisy.

    For texts the noise is added to the embedded tokens, which are detached there; for images, which
    have no tokens, to the normalised pixels. In the second pass dropout is drawn again, as in the
    authors' code: where the network has dropout, the penalty is mostly about dropout; where it has
    none, noise of 1e-5 is below rounding, and the method is full fine-tuning. For images `eps` is
    therefore 0.1 by default, which is our choice. BatchNorm records the statistics of the clean
    pass alone.

    Formula:
        CE(p) + weight (KL(p | q) + KL(q | p)), q the prediction under noise of size eps
    Try it:
        with pretrained text models and few labels, as a cheaper way to a smooth model than
        adversarial training
    Cost:
        twice the time and memory of full fine-tuning; nothing more at prediction
    Source:
        Aghajanyan et al. 2021, Better fine-tuning by reducing representational collapse, arXiv
        2008.03156, equation 5; both divergences summed and divided by the batch size, as in the
        authors' code

    Args:
        weight: weight of the divergence; 0 is full fine-tuning.
        eps: size of the noise, uniform in [-eps, eps] or normal with this standard deviation; null:
            1e-5 on embedded tokens, as published, and 0.1 on pixels.
        noise: distribution of the noise, `uniform` or `normal`.
        shared: `lr_factor`, `schedule` and what can be added to any strategy.
    """

    version = 2
    also_called = ("robust_representations_finetuning",)
    badges = ("formula_exact", "trajectory_exact")
    needs = Needs(tasks=("classification",), layers="some")
    baselines = Baselines(exploratory=["full_finetuning"])
    space = {
        "lr_factor": rates(0.3, brief=0.95, small_images=0.3, images=3.2, text=0.095),
        "weight": Range(0.1, 5.0, default=1.0),
        "eps": Range(1e-5, 1.0, default=None),
    }

    def __init__(
        self,
        weight: NotNegative = 1.0,
        eps: NotNegative | None = None,
        noise: Noise = "uniform",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.weight, self.eps, self.noise = weight, eps, noise

    def build(self, sizes: Sizes) -> None:
        if isinstance(self.backbone.example(), dict) and table_of(self.backbone) is None:
            raise ImpossibleError(f"{self.backbone.title} has no table of embedded tokens")

    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.labelled()
        clean = self.predict(seen.inputs)
        loss = self.task.loss(clean, seen.labels)
        if not self.weight:
            return loss
        with unrecorded_statistics(self):
            noised = self._noised(seen.inputs)
        return loss + self.weight * symmetric_divergence(clean, noised)

    def _noised(self, inputs: Inputs) -> Tensor:
        """Return logits under noise, (batch, classes)."""
        drawing = own_generator(self, "r3f")
        if isinstance(inputs, Tensor):
            return self.predict(self._with_noise(inputs, drawing, ON_PIXELS))
        table = table_of(self.backbone)
        assert table is not None
        with changed(table, partial(self._with_noise, drawing=drawing, usual=ON_TOKENS)):
            return self.predict(inputs)

    def _with_noise(self, clean: Tensor, drawing: torch.Generator, usual: float) -> Tensor:
        eps = usual if self.eps is None else self.eps
        noise = torch.empty_like(clean)
        if self.noise == "normal":
            noise.normal_(generator=drawing)
        else:
            noise.uniform_(-1, 1, generator=drawing)
        return clean.detach() + eps * noise


def table_of(backbone: Backbone) -> nn.Embedding | None:
    """Return the token embeddings: the library's, or the first embedding table; None if none."""
    told = getattr(backbone.network, "get_input_embeddings", None)
    tables = [told()] if told is not None else backbone.modules()
    return next((table for table in tables if isinstance(table, nn.Embedding)), None)


@contextmanager
def changed(layer: nn.Module, change: Any) -> Iterator[None]:
    """Pass a layer's outputs through `change` while inside."""
    hook = layer.register_forward_hook(lambda module, given, output: change(output))
    try:
        yield
    finally:
        hook.remove()
