"""Adversarial alignment with a penalty on the features' largest singular values (BSP)."""

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from transfergrid.strategies import BadInputError, Count, NotNegative, Range, Sizes
from transfergrid.strategies.adaptation.alignment import ADAPTED
from transfergrid.strategies.adaptation.cdan import Cdan
from transfergrid.strategies.adaptation.domain_adversarial import DomainAdversarial


def most_squares(features: Tensor, k: int) -> Tensor:
    """Return the sum of the squares of the `k` largest singular values.

    If `k` exceeds min(batch, dim), all are summed. Values that are not finite are replaced by
    finite ones; they still show in the rest of the loss.

    Args:
        features: (batch, dim), not centred; anything but double precision is cast to single.
        k: from 1.
    """
    single = features if features.dtype == torch.float64 else features.float()
    values: Tensor = torch.linalg.svdvals(torch.nan_to_num(single))
    return values[:k].square().sum()


class Bsp(Cdan):
    """Adversarial alignment that holds the largest singular values of each domain's features down.

    The penalty is added to `domain_adversarial` or to `cdan`; at penalty 0 it is that method.
    Adversarial alignment strengthens a few directions of the features and weakens the others, which
    tell classes apart too. So the strongest directions are penalised, whereas `bss` shrinks the
    weakest. Declared: singular values are taken of each domain's batch apart, of features as they
    come, not centred; the penalty's gradient is not reversed; labelled target examples are left
    out. The squares grow with the number of rows, so a weight is only valid for its batch size.

    Formula:
        the loss of `base` + beta (sum of sigma_i(F_s)^2 + sum of sigma_i(F_t)^2) over the k largest
    Try it:
        where under `domain_adversarial` or `cdan` domains become indistinguishable, but so do
        classes
    Cost:
        that of its base, and two singular value decompositions of a batch's features a step
    Source:
        Chen, Wang, Long & Wang 2019, Transferability vs. discriminability: batch spectral
        penalization for adversarial domain adaptation, ICML, section 4; beta as in the Transfer
        Learning Library

    Args:
        penalty: beta; 0 is the base alone.
        k: how many of the largest singular values are penalised.
        base: the method that the penalty is added to; `entropy` and `randomised` are for `cdan`.
        entropy: in `cdan`, weighs confident predictions more: `per_domain` or `joint`.
        randomised: in `cdan`, width of the random map; null takes the full product.
        weight: weight of the domain loss, on top of lambda(p).
        gamma: how fast lambda(p) rises.
        hidden: width of the discriminator's two hidden layers.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.

    Raises:
        BadInputError: an option of `cdan` is asked for on another base.
    """

    baselines = replace(ADAPTED, exploratory=["domain_adversarial", "cdan", *ADAPTED.exploratory])
    space = {**Cdan.space, "penalty": Range(1e-6, 1e-2, default=2e-4)}
    also_called = ("batch_spectral_penalization", "batch_spectral_penalisation")
    variants = {"bsp_cdan": "strategy.base=cdan"}
    stackable = True
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        penalty: NotNegative = 2e-4,
        k: Count = 1,
        base: Literal["domain_adversarial", "cdan"] = "domain_adversarial",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.penalty, self.k, self.base = penalty, k, base

    def build(self, sizes: Sizes) -> None:
        if self.base != "cdan" and (self.entropy or self.randomised):
            raise BadInputError("entropy and randomised are cdan's: add strategy.base=cdan")
        self._base.build(self, sizes)

    def alignment(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        strongest = most_squares(source, self.k) + most_squares(target, self.k)
        return super().alignment(source, target, progress) + self.penalty * strongest

    def domain_loss(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        return self._base.domain_loss(self, source, target, progress)

    @property
    def _base(self) -> type[DomainAdversarial]:
        return Cdan if self.base == "cdan" else DomainAdversarial
