"""Adversarial alignment that holds the largest singular values of each domain's features down."""

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

    There are min(batch, dim) of them, and no more are summed up. What is not finite counts as
    finite here: the rest of the loss tells of it.

    Args:
        features: (batch, dim), not centred; half precision is taken for single.
        k: from 1.
    """
    single = features if features.dtype == torch.float64 else features.float()
    values: Tensor = torch.linalg.svdvals(torch.nan_to_num(single))
    return values[:k].square().sum()


class Bsp(Cdan):
    """Adversarial alignment that holds the largest singular values of each domain's features down.

    It is added to `domain_adversarial` or to `cdan`, which it is at penalty 0. What aligns domains
    strengthens few directions of the features and weakens what else tells classes apart: so the
    strongest are held down, where `bss` shrinks the weakest. Declared: each domain's batch has its
    own values, of features as they come, not centred; the penalty is not reversed; labelled target
    examples are in neither. Their squares grow with the number of rows, so that the weight belongs
    to a batch size.

    Formula:
        the loss of `base` + beta (sum of sigma_i(F_s)^2 + sum of sigma_i(F_t)^2) over the k largest
    Try it:
        where `domain_adversarial` or `cdan` tells domains less and less apart and classes too
    Cost:
        that of its base, and two decompositions of a batch's features a step
    Source:
        Chen, Wang, Long & Wang 2019, Transferability vs. discriminability: batch spectral
        penalization for adversarial domain adaptation, ICML, section 4; beta as in the Transfer
        Learning Library

    Args:
        penalty: beta; 0 is the base alone.
        k: how many of the largest singular values are held down.
        base: what it is added to; `entropy` and `randomised` are those of `cdan`.
        entropy: weighs sure predictions more, of `cdan`: `per_domain` or `joint`.
        randomised: width of `cdan`'s random map; null takes the product.
        weight: of the domain loss, on top of lambda(p).
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
