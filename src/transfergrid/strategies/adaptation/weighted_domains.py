"""What strategies share that keep source examples apart from the domains' meeting by weights."""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


def domain_loss(critic: nn.Module, source: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted binary cross-entropy of a discriminator, over the number of examples.

    Args:
        critic: gives a logit for the source.
        source: features, (n, dim).
        target: features, (m, dim), each of weight 1.
        weights: of the source's, (n,); what they sum to does not matter.
    """
    domains = torch.cat([torch.ones_like(weights), weights.new_zeros(len(target))])
    all_weights = torch.cat([weights, weights.new_ones(len(target))])
    logits = critic(torch.cat([source, target])).squeeze(1)
    return binary_cross_entropy_with_logits(logits, domains, all_weights)
