"""Adversarial alignment with a discriminator that is conditioned on predictions (CDAN)."""

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from transfergrid.strategies import Count, Sizes
from transfergrid.strategies.adaptation.domain_adversarial import (
    DomainAdversarial,
    GradientReversal,
    discriminator,
    reversal_strength,
)


def multilinear_map(features: Tensor, probabilities: Tensor) -> Tensor:
    """Return the product of each feature with each probability, (batch, classes * dim).

    Products are ordered by class.

    Args:
        features: (batch, dim).
        probabilities: (batch, classes).
    """
    return (probabilities[:, :, None] * features[:, None, :]).flatten(1)


def randomised_map(features: Tensor, probabilities: Tensor, maps: tuple[Tensor, Tensor]) -> Tensor:
    """Return (f R_f) * (p R_p) / sqrt(d), (batch, d).

    Args:
        features: (batch, dim).
        probabilities: (batch, classes).
        maps: the random matrices R_f (dim, d) and R_p (classes, d).
    """
    return (features @ maps[0]) * (probabilities @ maps[1]) / math.sqrt(maps[0].shape[1])


def entropy_weights(probabilities: Tensor, first: int, by: str) -> Tensor:
    """Return weights 1 + e^-H of predictions with entropy H, scaled to a mean of 1, (n,).

    Args:
        probabilities: (n, classes), those of the source first.
        first: how many are the source's.
        by: "joint" scales all together; "per_domain" gives each domain half of the total weight.
    """
    weights: Tensor = 1 + (-torch.special.entr(probabilities).sum(1)).exp()
    if by == "joint":
        return weights / weights.mean()
    parts = (weights[:first], weights[first:])
    return torch.cat([part / part.sum() for part in parts]) * len(weights) / 2


class Cdan(DomainAdversarial):
    """Features that no discriminator tells apart by domain, given what is predicted of them (CDAN).

    The discriminator's input is every product of a feature and a class probability. Declared:
    predictions are detached there and in the entropy weights, so that the head learns from labels
    alone, as in the Transfer Learning Library; in the authors' own code the weights have a
    gradient. A random map is drawn once; it is a buffer, not a parameter. The discriminator and
    lambda(p) are those of `domain_adversarial`.

    Formula:
        CE(source, target) - w lambda(p) mean[v BCE(D(f x p), domain)], D descending its own loss;
        v = 1, or 1 + e^-H(p) scaled to the mean 1
    Try it:
        as `domain_adversarial`, where the features of a domain fall into clusters by class: it
        brings the same classes together, as far as predictions are right
    Cost:
        that of `domain_adversarial`, and a discriminator with classes times features inputs; use a
        random map where both are many
    Source:
        Long et al. 2018, Conditional adversarial domain adaptation, NeurIPS, arXiv 1705.10667,
        section 3

    Args:
        entropy: weighs confident predictions more. `per_domain` scales as the authors' code does
            and gives each domain half of the weight; `joint` scales as the library does, over both
            domains together; null gives all the same weight.
        randomised: width of the random map that replaces the product; null takes the product.
            The paper uses a random map where classes times features exceed 4096.
        weight: weight of the domain loss, on top of lambda(p).
        gamma: how fast lambda(p) rises.
        hidden: width of the discriminator's two hidden layers.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs = DomainAdversarial.needs.of("classification")
    also_called = ("conditional_domain_adversarial", "conditional_dann")
    variants = {"cdan_e": "strategy.entropy=per_domain"}
    stackable = True
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        entropy: Literal["per_domain", "joint"] | None = None,
        randomised: Count | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.entropy, self.randomised = entropy, randomised

    def build(self, sizes: Sizes) -> None:
        dim, classes = self.backbone.dim, self.task.outputs
        width = self.randomised or dim * classes
        self.scaffold["discriminator"] = discriminator(width, self.hidden)
        if self.randomised:
            self.scaffold.register_buffer("of_features", torch.randn(dim, width))
            self.scaffold.register_buffer("of_classes", torch.randn(classes, width))

    def domain_loss(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        features = torch.cat([source, target])
        said = self.head(features.detach()).softmax(1).detach()
        reversing = GradientReversal.apply(features, reversal_strength(progress, self.gamma))
        logits = self.scaffold["discriminator"](self._together(reversing, said)).squeeze(1)
        domains = torch.cat([source.new_ones(len(source)), target.new_zeros(len(target))])
        weights = entropy_weights(said, len(source), self.entropy) if self.entropy else None
        return binary_cross_entropy_with_logits(logits, domains, weights)

    def _together(self, features: Tensor, probabilities: Tensor) -> Tensor:
        if not self.randomised:
            return multilinear_map(features, probabilities)
        own = self.scaffold
        maps = own.get_buffer("of_features"), own.get_buffer("of_classes")
        return randomised_map(features, probabilities, maps)
