"""Fine-tune while each BatchNorm channel uses the batch's or running statistics, at random."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from transfergrid.strategies import (
    Baselines,
    Batch,
    ImpossibleError,
    Needs,
    Range,
    Share,
    Sizes,
    Strategy,
    rates,
)
from transfergrid.strategies.draws import own_generator

BatchNorm = nn.modules.batchnorm._BatchNorm


def drawn(p: float, channels: int, rng: torch.Generator) -> Tensor:
    """Return which channels use the batch's statistics, each with probability `p`: (channels,)."""
    return torch.rand(channels, generator=rng, device=rng.device) < p


def normalised(
    layer: BatchNorm, plain: Callable[[Tensor], Tensor], inputs: Tensor, by_batch: Tensor
) -> Tensor:
    """Return the outputs of a layer in training mode, (batch, channels, ...).

    The running statistics that normalise are those from before this batch, which then updates them
    as usual.

    Args:
        layer: the BatchNorm layer.
        plain: its own forward pass, which may also do other things channel by channel.
        inputs: inputs of the layer.
        by_batch: mask of the channels that use the batch's statistics, (channels,).
    """
    mean, var = layer.running_mean, layer.running_var
    assert mean is not None
    assert var is not None
    layer.training = False  # on copies, as backward needs the statistics that were used
    layer.running_mean, layer.running_var = mean.clone(), var.clone()
    by_past = plain(inputs)
    layer.running_mean, layer.running_var, layer.training = mean, var, True
    return torch.where(by_batch.view(-1, *[1] * (inputs.ndim - 2)), plain(inputs), by_past)


@contextmanager
def _mixing(layer: BatchNorm, p: float, rng: torch.Generator) -> Iterator[None]:
    plain = layer.forward

    def forward(inputs: Tensor) -> Tensor:
        return normalised(layer, plain, inputs, drawn(p, layer.num_features, rng))

    vars(layer)["forward"] = forward
    try:
        yield
    finally:
        vars(layer).pop("forward")


class StochasticNormalization(Strategy):
    """Fine-tuning in which half of the channels, others at each step, use running statistics.

    The other channels use the batch's statistics, as usual; the running ones begin as the source's.

    All BatchNorm layers that learn take part. Running statistics move, and predictions are made, as
    in full fine-tuning. A network without BatchNorm is refused. All parts of a batch have the same
    draws.

    Formula:
        s norm(x; batch) + (1 - s) norm(x; running), s ~ Bernoulli(p) for each channel at each step
    Try it:
        with few labels and small batches, on convolutional networks that were pretrained with
        labels; from self-supervised weights it lost to full fine-tuning in the authors' own table
    Cost:
        full fine-tuning and one more pass of each norm layer, whose outputs are held twice; nothing
        more at prediction
    Source:
        Kou, You, Long & Wang 2020, Stochastic normalization, NeurIPS, section 3.2; p as in the
        authors' code

    Args:
        p: probability that a channel uses the batch's statistics; 1 is full fine-tuning, 0 uses the
            running ones alone.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    also_called = ("stoch_norm", "stochnorm")
    badges = ("formula_exact", "trajectory_exact")
    needs = Needs(layers="batch_norm")
    baselines = Baselines(exploratory=["full_finetuning"])
    space = {
        "lr_factor": rates(3.0, brief=0.95, small_images=1.0, images=3.2, text=0.1),
        "p": Range(0.1, 0.9, log=False, default=0.5),
    }

    def __init__(self, p: Share = 0.5, **shared: Any) -> None:
        super().__init__(**shared)
        self.p = p

    def build(self, sizes: Sizes) -> None:
        if not self.norms():
            raise ImpossibleError(
                "the network has no BatchNorm with running statistics, which the method mixes with "
                "those of a batch: take a network with BatchNorm, such as a resnet"
            )

    def norms(self) -> list[BatchNorm]:
        """Return the layers whose statistics are mixed."""
        layers = (m for m in self.backbone.modules() if isinstance(m, BatchNorm))
        return [m for m in layers if m.running_mean is not None and m.track_running_stats]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        mixing = partial(_mixing, p=self.p, rng=own_generator(self.backbone, "normalisation"))
        with ExitStack() as mixed:
            for layer in self.norms():
                if layer.training:
                    mixed.enter_context(mixing(layer))
            return super().loss(batch, progress)
