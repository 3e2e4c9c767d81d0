"""Ranking by descriptions ends where a loop of plain torch ends."""

import pytest
from plain_torch import adamw, cosine, set_rate
from torch.nn.functional import normalize
from trajectories import same, trajectory

from transfergrid.strategies.no_examples.ale import ALE


@pytest.mark.proves("trajectory_exact", "ale")
@pytest.mark.parametrize("ranked", ["weighted", "sum", "max"])
@pytest.mark.parametrize("on", ["images", "tokens", "texts"])
def test_ale(on, ranked):
    run = trajectory(ALE, {"lr_factor": 0.5, "margin": 0.3, "ranked": ranked}, on)
    net = run.net().requires_grad_(False).eval()
    known = normalize(run.end["scaffold.known"].double(), dim=1)
    matrix = run.start["head.weight"].clone().requires_grad_()
    optimiser = adamw(([matrix], 0.5))
    for step, batch in enumerate(run.batches):
        seen, total = batch.source[0], 0.0
        for features, label in zip(net.features(seen.inputs), seen.labels, strict=True):
            scores = known @ (matrix @ features)
            apart = [0.3 + s - scores[label] for y, s in enumerate(scores) if y != label]
            over = [hinge for hinge in apart if hinge > 0]
            if ranked == "max":
                total = total + (max(over) if over else 0.0)
            elif over:
                weight = sum(1 / i for i in range(1, len(over) + 1)) / len(over)
                total = total + (weight if ranked == "weighted" else 1.0) * sum(over)
        set_rate(optimiser, cosine(step, 20))
        optimiser.zero_grad()
        (total / len(seen.labels) + 0.0 * matrix.sum()).backward()
        optimiser.step()
    state = {n: v for n, v in net.state_dict().items() if n.startswith("backbone.")}
    same(run, {**state, "head.weight": matrix})
