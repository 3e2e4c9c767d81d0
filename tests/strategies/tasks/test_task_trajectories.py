"""Two tasks on one backbone end where loops of plain torch end."""

import pytest
import torch
from plain_torch import adamw, cosine, set_rate
from torch import nn
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.strategies.tasks.multitask import Multitask
from transfergrid.strategies.tasks.pcgrad import PCGrad


def without_conflict(first, second, trunk):
    """On the trunk each less its part along the other, where that runs against it; then the sum."""
    one, other = first[trunk], second[trunk]
    along = (one @ other).clamp(max=0)
    found = first + second
    found[trunk] -= along / (other @ other) * other + along / (one @ one) * one
    return found


def added(first, second, trunk):
    return first + second


COMBINED = [
    pytest.param(Multitask, added, marks=pytest.mark.proves("trajectory_exact", "multitask")),
    pytest.param(PCGrad, without_conflict, marks=pytest.mark.proves("trajectory_exact", "pcgrad")),
]


@pytest.mark.parametrize(("kind", "combined"), COMBINED)
@pytest.mark.parametrize("on", ["images", "tokens", "texts"])
def test_two_tasks(kind, combined, on):
    run = trajectory(kind, {"lr_factor": 0.5, "weight": 0.7}, on)
    net, inside = run.net(), "scaffold.source."
    own = nn.Linear(*run.start[f"{inside}weight"].T.shape).double()
    own.load_state_dict({n: run.start[inside + n] for n in ("weight", "bias")})
    both = [*net.head.parameters(), *net.backbone.parameters(), *own.parameters()]
    optimiser = adamw((both, 0.5))
    for step, batch in enumerate(run.batches):
        source = batch.source[0]
        losses = [
            cross_entropy(net(batch.target.inputs), batch.target.labels),
            0.7 * cross_entropy(own(net.features(source.inputs)), source.labels),
        ]
        flat = []
        for loss in losses:
            slopes = torch.autograd.grad(loss, both, allow_unused=True)
            whole = [
                torch.zeros_like(p) if s is None else s for p, s in zip(both, slopes, strict=True)
            ]
            flat.append(torch.cat([part.flatten() for part in whole]))
        begins = sum(p.numel() for p in net.head.parameters())
        trunk = slice(begins, begins + sum(p.numel() for p in net.backbone.parameters()))
        parts = torch.split(combined(*flat, trunk), [p.numel() for p in both])
        for parameter, part in zip(both, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        set_rate(optimiser, cosine(step, 20))
        optimiser.step()
    same(run, {**net.state_dict(), **{inside + n: v for n, v in own.state_dict().items()}})
