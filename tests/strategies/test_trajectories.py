"""Plain gradient strategies end where twenty steps of plain torch end."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning


def rate(step, steps):
    """Linear warm-up over a twentieth of the steps, then half a cosine to zero."""
    p = step / steps
    return max(p / 0.05, 0.05) if p < 0.05 else 0.5 * (1 + math.cos(math.pi * (p - 0.05) / 0.95))


@pytest.mark.proves("trajectory_exact", "full_finetuning")
@pytest.mark.parametrize("on", ["images", "tokens", "texts"])
def test_full_finetuning(on):
    run = trajectory(FullFinetuning, {"lr_factor": 0.5}, on)
    net = run.net()
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
    for step, batch in enumerate(run.batches):
        optimiser.param_groups[0]["lr"] = 0.02 * 0.5 * rate(step, 20)
        optimiser.zero_grad()
        cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
        optimiser.step()
    same(run, net)
