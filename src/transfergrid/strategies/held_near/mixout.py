"""Fine-tune while a random part of the weights is reset to the source's at each step (mixout)."""

from typing import Annotated, Any

import torch
from annotated_types import Interval
from torch import Tensor, nn
from torch.func import functional_call

from transfergrid.strategies import Baselines, Batch, Range, Sizes, Strategy, rates
from transfergrid.strategies.draws import own_generator

KERNELS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
Chance = Annotated[float, Interval(ge=0, lt=1)]


def mixed(weight: Tensor, start: Tensor, kept: Tensor, p: float) -> Tensor:
    """Return ((1 - m) w0 + m w - p w0) / (1 - p), whose mean over the masks is w.

    Args:
        weight: w, of any shape.
        start: w0, of the same shape.
        kept: m, of the same shape: 1 where w is used, 0 where w0 is, drawn independently.
        p: probability that w0 is used.
    """
    return ((1 - kept) * start + kept * weight - p * start) / (1 - p)


def matrices_of(module: nn.Module) -> list[Tensor]:
    """Return the weights that a layer multiplies its inputs by, if it is of a known kind."""
    if isinstance(module, nn.MultiheadAttention):
        own = (module.in_proj_weight, module.q_proj_weight, module.k_proj_weight)
        return [weight for weight in (*own, module.v_proj_weight) if weight is not None]
    dense = isinstance(module, (nn.Linear, *KERNELS)) or type(module).__name__ == "Conv1D"
    return [module.weight] if dense else []  # type: ignore[list-item]


class Mixout(Strategy):
    """Fine-tuning in which each weight is its start again with chance p, drawn anew at each step.

    The matrices of the backbone's dense layers and attention and the kernels of its convolutions
    are mixed, each number independently. The authors' code also mixes embedding tables, biases and
    norms; here those, class tokens, position embeddings and layer scales are not mixed. The head
    has no start and is not mixed. Predictions use the weights themselves; BatchNorm's running
    statistics are those of the mixed network. The network's dropout stays. All parts of a batch
    have the same mask.

    Formula:
        used at each step: ((1 - m) w0 + m w - p w0) / (1 - p), m ~ Bernoulli(1 - p)
    Try it:
        with large pretrained text models and few labels, where fine-tuning fails on some seeds; a
        high p trains a small part of the weights at a time, with large, noisy gradients
    Cost:
        full fine-tuning's time and a little for the masks; two more copies of the weights in
        memory; nothing more at prediction
    Source:
        Lee, Cho & Kang 2020, Mixout: effective regularization to finetune large-scale pretrained
        language models, ICLR, arXiv 1909.11299, equation 5; gradients are the formula's, with the
        factor 1 / (1 - p) that the authors' code leaves out

    Args:
        p: probability that a weight is replaced by its start, from 0 (full fine-tuning) to below 1.
        shared: `lr_factor` and `schedule`.
    """

    badges = ("formula_exact", "trajectory_exact")
    baselines = Baselines(exploratory=["full_finetuning"])
    space = {
        "lr_factor": rates(0.3, brief=0.3, small_images=3.0, images=0.32, text=0.95),
        "p": Range(0.1, 0.9, log=False, default=0.9),
    }

    def __init__(self, p: Chance = 0.9, **shared: Any) -> None:
        super().__init__(**shared)
        self.p = p

    def build(self, sizes: Sizes) -> None:
        self.scaffold["start"] = self.copied(self.backbone)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.labelled()
        said = functional_call(self, self._mixed(), (seen.inputs,))
        return self.task.loss(said, seen.labels)

    def _mixed(self) -> dict[str, Tensor]:
        """Return the mixed weights of this step, by their names in the strategy."""
        drawing, starts = own_generator(self, "mixout"), self.scaffold["start"].named_parameters()
        known, matrices, found = dict(self.backbone.named_parameters()), self._matrices(), {}
        for name, start in starts:
            if id(weight := known[name]) in matrices:
                kept = torch.empty_like(start).bernoulli_(1 - self.p, generator=drawing)
                found[f"backbone.{name}"] = mixed(weight, start, kept, self.p)
        return found

    def _matrices(self) -> set[int]:
        """Return the ids of the parameters to mix: matrices and kernels, no embedding tables."""
        tables = {id(m.weight) for m in self.backbone.modules() if isinstance(m, nn.Embedding)}
        weights = [w for module in self.backbone.modules() for w in matrices_of(module)]
        return {id(weight) for weight in weights} - tables
