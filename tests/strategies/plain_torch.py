"""What independent loops share: schedules by their formulas, and losses in plain torch."""

import math

import torch


def cosine(step, steps):
    """Linear warm-up over a twentieth of the steps, then half a cosine to zero."""
    p = step / steps
    return max(p / 0.05, 0.05) if p < 0.05 else 0.5 * (1 + math.cos(math.pi * (p - 0.05) / 0.95))


def annealed(step, steps):
    """(1 + 10 p)^-0.75, as in Ganin et al. 2016."""
    return (1 + 10 * step / steps) ** -0.75


def adamw(*groups):
    """One AdamW as the harness plans it: groups are (parameters, factor of the rate)."""
    told = [{"params": list(own), "factor": factor} for own, factor in groups]
    return torch.optim.AdamW(told, lr=0.02, weight_decay=0.05)


def set_rate(optimiser, multiple):
    """Give each group its share of the harness's rate."""
    for group in optimiser.param_groups:
        group["lr"] = 0.02 * multiple * group.get("factor", 1.0)


def unrecorded(net, inputs):
    """Return features by the batch's own statistics; the running ones stay as they are."""
    kept = {name: buffer.clone() for name, buffer in net.named_buffers()}
    features = net.features(inputs)
    for name, buffer in net.named_buffers():
        buffer.data.copy_(kept[name])
    return features
