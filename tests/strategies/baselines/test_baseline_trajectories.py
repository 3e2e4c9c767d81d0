"""Training from random weights until it levels off ends where a loop of plain torch ends."""

import pytest
from plain_torch import adamw, set_rate
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.strategies.baselines.scratch_converged import ScratchConverged

ARGUMENTS = {"lr_factor": 0.5, "window": 0.25, "tolerance": 1.0, "cooldown": 0.5}


@pytest.mark.proves("trajectory_exact", "scratch_converged")
@pytest.mark.parametrize("on", ["images", "tokens", "texts"])
def test_scratch_converged(on):
    """Of 8 shared steps: all loss counts as level after the first 8; then four steps cool down.

    A twentieth of 8 steps is no step of warm-up.
    """
    run = trajectory(ScratchConverged, ARGUMENTS, on, steps=8)
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches[:12]):
        set_rate(optimiser, 1.0 if step < 8 else 1 - (step - 8) / 4)
        optimiser.zero_grad()
        cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
        optimiser.step()
    same(run, net)
