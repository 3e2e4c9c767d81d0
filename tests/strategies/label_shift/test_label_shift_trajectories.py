"""Label shift, found and answered, ends where loops of plain torch end."""

import numpy as np
import pytest
import torch
from plain_torch import adamw, annealed, set_rate
from scipy.optimize import minimize
from torch.nn.functional import cross_entropy, one_hot
from trajectories import same, trajectory

from transfergrid.strategies.label_shift.bbse import Bbse
from transfergrid.strategies.label_shift.label_shift_em import LabelShiftEm


def learned(run, net, steps):
    """Train on what is not held out; return the optimiser, which goes on."""
    optimiser, held = adamw((net.parameters(), 0.5)), run.end["scaffold.held"]
    for step, batch in enumerate(run.batches[:steps]):
        seen = batch.source[0]
        kept = ~held[seen.rows]
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        cross_entropy(net(seen.inputs)[kept], seen.labels[kept]).backward()
        optimiser.step()
    return optimiser, held


def said(net, inputs):
    net.eval()
    with torch.no_grad():
        found = net(inputs)
    net.train()
    return found


@pytest.mark.proves("trajectory_exact", "bbse")
@pytest.mark.parametrize("on", ["images", "tokens"])
def test_bbse(on):
    run = trajectory(Bbse, {"lr_factor": 0.5, "strength": 0.8}, on)
    net, source = run.net(), run.source[0]
    optimiser, held = learned(run, net, 10)
    first = one_hot(said(net, source.inputs)[held].argmax(1), 3).double()
    joint = first.T @ one_hot(source.labels[held], 3).double() / held.sum()
    target = one_hot(said(net, run.unlabelled).argmax(1), 3).double().mean(0)
    weights = torch.from_numpy(np.linalg.pinv(joint.numpy()) @ target.numpy()).clamp(min=0)
    for step, batch in enumerate(run.batches[10:], 10):
        seen = batch.source[0]
        losses = cross_entropy(net(seen.inputs), seen.labels, reduction="none")
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        ((0.2 + 0.8 * weights)[seen.labels] * losses).mean().backward()
        optimiser.step()
    same(run, net)


@pytest.mark.proves("trajectory_exact", "label_shift_em")
@pytest.mark.parametrize("on", ["images", "tokens"])
def test_label_shift_em(on):
    run = trajectory(LabelShiftEm, {"lr_factor": 0.5}, on)
    net, source = run.net(), run.source[0]
    _, held = learned(run, net, 20)
    same(run, net)
    z, y = said(net, source.inputs)[held].numpy(), source.labels[held]
    target = said(net, run.unlabelled)

    def off(told):
        moved = torch.from_numpy(told[0] * z + told[1:])
        far = (told[0] - 1) ** 2 + (told[1:] ** 2).sum()
        return cross_entropy(moved, y).item() + 0.5e-4 * far

    best = minimize(off, [1.0, 0, 0, 0], tol=1e-12, options={"maxiter": 5000}).x
    given = one_hot(y, 3).double().mean(0)
    calibrated = torch.from_numpy(best[0] * target.numpy() + best[1:]).softmax(1)
    q = given
    for _ in range(5000):
        moved = calibrated * q / given
        q = (moved / moved.sum(1, keepdim=True)).mean(0)
    expected = torch.from_numpy(best[1:]) + (q / given).clamp_min(1e-12).log()
    assert run.end["sharpness"].item() == pytest.approx(best[0], rel=1e-3)
    there = q > 1e-3  # the logarithm of a share that vanishes is no number of the method
    assert run.end["moved"][there].tolist() == pytest.approx(expected[there].tolist(), abs=5e-3)
    found = run.end["scaffold.found"]
    assert found.tolist() == pytest.approx(q.tolist(), abs=1e-4)
