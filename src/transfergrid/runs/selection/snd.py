"""The rule `snd` (soft neighbourhood density): how densely predictions lie together."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

TEMPERATURE = 0.05


def neighbourhood_density(logits: Tensor, temperature: float = TEMPERATURE) -> float:
    """Return the mean entropy of similarities to the others (Saito et al. 2021, equation 3).

    More is better. It grows with n, up to log(n - 1), which a model that predicts one class for
    everything reaches.

    Args:
        logits: (n, classes), n at least 2.
        temperature: temperature of the softmax over cosines.
    """
    said = normalize(logits.softmax(1))
    similar = said @ said.T / temperature
    similar.fill_diagonal_(-torch.inf)
    log = similar.log_softmax(1)
    return float(-(log.exp() * log.masked_fill(log == -torch.inf, 0.0)).sum(1).mean())
