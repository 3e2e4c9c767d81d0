"""The domain loss of strategies that weigh source examples while they align domains."""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


def domain_loss(critic: nn.Module, source: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted binary cross-entropy of a discriminator, divided by the number n + m.

    Args:
        critic: returns the logit of "from the source".
        source: features, (n, dim).
        target: features, (m, dim), each with weight 1.
        weights: weights of the source examples, (n,); used as they are, not normalised.
    """
    domains = torch.cat([torch.ones_like(weights), weights.new_zeros(len(target))])
    all_weights = torch.cat([weights, weights.new_ones(len(target))])
    logits = critic(torch.cat([source, target])).squeeze(1)
    return binary_cross_entropy_with_logits(logits, domains, all_weights)
