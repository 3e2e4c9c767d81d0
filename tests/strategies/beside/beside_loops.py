"""Small encoders in plain torch, for loops that share no code with the product."""

import math

import torch
from torch.nn.functional import conv1d, conv2d, embedding, group_norm, relu


def rate(step, steps):
    """Linear warm-up over a twentieth of the steps, then half a cosine to zero."""
    p = step / steps
    return max(p / 0.05, 0.05) if p < 0.05 else 0.5 * (1 + math.cos(math.pi * (p - 0.05) / 0.95))


def leaves(state, *beginnings):
    """Return tensors of a state dict by name, as they learn."""
    chosen = {name: w for name, w in state.items() if name.startswith(beginnings)}
    return {name: w.clone().requires_grad_(True) for name, w in chosen.items()}


def small(w, inputs, of="own"):
    """Return embeddings of an encoder 64 wide for images of 8 pixels, or for texts."""
    own = {name.removeprefix(f"{of}.network."): value for name, value in w.items()}
    if not isinstance(inputs, dict):
        seen = conv2d(inputs, own["conv1.layers.0.weight"], stride=2, padding=1)
        seen = group_norm(seen, 8, own["conv1.layers.1.weight"], own["conv1.layers.1.bias"])
        return relu(seen).mean((2, 3))
    mask = inputs["attention_mask"].double()[:, None]
    hidden = embedding(inputs["input_ids"], own["words.table.weight"]).transpose(1, 2) * mask
    seen = conv1d(hidden, own["neighbours.conv.weight"], own["neighbours.conv.bias"], padding=1)
    return (relu(seen) * mask).max(2).values


def adamw(weights):
    """Return an optimiser as the trajectories' plan has it."""
    return torch.optim.AdamW(list(weights.values()), weight_decay=0.05)
