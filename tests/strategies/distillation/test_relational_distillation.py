"""CE + d Huber(distances over their mean) + a Huber(cosines of angles) (Park et al. 2019)."""

import pytest
import torch
from taught_loops import steps, teacher_of
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.distillation.relational_distillation import (
    RelationalDistillation,
    relational_losses,
)
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyArchitecture

LINE = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
TRIANGLE = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]], dtype=torch.float64)


def told(**more):
    return {"teacher": FullFinetuning(lr_factor=0.5), "lr_factor": 0.5, **more}


@pytest.mark.proves("formula_exact", "relational_distillation")
def test_both_terms_by_hand():
    """Three points on a line against a triangle of 3, 4 and 5.

    Distances over their means of 2 and 4 are .5, 1.5, 1 and .75, 1, 1.25: apart by .25, .5, .25,
    half squares .03125, .125, .03125, each pair twice among nine. Cosines are 1, -1, 1 and 0, .6,
    .8: apart by 1, 1.6, .2, Huber .5, 1.1, .02, each twice among 27.
    """
    distance, angle = relational_losses(LINE, TRIANGLE)
    assert distance.item() == pytest.approx(0.375 / 9, abs=1e-12)
    assert angle.item() == pytest.approx(3.24 / 27, abs=1e-12)


@pytest.mark.proves("formula_exact", "relational_distillation")
def test_a_square_against_its_two_halves_by_hand():
    """Four corners of a square against two pairs that fell together.

    Distances of the square: 8 of 1 and 4 of sqrt 2, mean (8 + 4 sqrt 2) / 12; of the pairs 8 of 1
    and 4 of 0, mean 8 / 12.
    """
    square = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)
    pairs = torch.tensor([[0.0], [0], [1], [1]], dtype=torch.float64)
    mean = (8 + 4 * 2**0.5) / 12
    side, diagonal = 1 / mean, 2**0.5 / mean
    # 4 sides fell together, 4 are 1 apart, and so are 4 diagonals; the rest is on the diagonal.
    expected = (4 * side**2 + 4 * (1.5 - side) ** 2 + 4 * (1.5 - diagonal) ** 2) / 2 / 16
    assert relational_losses(square, pairs)[0].item() == pytest.approx(expected, abs=1e-12)


def test_neither_size_place_nor_width_matters():
    wide = torch.cat([TRIANGLE * 7 + 3, torch.zeros(3, 2)], dim=1)
    for found in relational_losses(wide, TRIANGLE):
        assert found.item() == pytest.approx(0, abs=1e-12)


def test_examples_that_fall_together_have_a_finite_gradient():
    same_place = torch.ones(3, 2, requires_grad=True)
    sum(relational_losses(same_place, TRIANGLE.float())).backward()
    assert same_place.grad.isfinite().all()
    assert same_place.grad.abs().max() < 1e3
    alone = torch.ones(1, 2, requires_grad=True)
    assert sum(relational_losses(alone, TRIANGLE[:1].float())).item() == 0


def relations(points):
    """Return distances over their mean, and cosines at each point, in loops."""
    n, apart = len(points), [[p - q for p in points] for q in points]
    lengths = torch.stack([torch.stack([(d**2).sum().clamp(min=1e-30) for d in r]) for r in apart])
    lengths = lengths.sqrt() * (1 - torch.eye(n, dtype=points.dtype))
    ways = [
        [apart[i][j] / lengths[i, j] if i != j else 0 * points[0] for j in range(n)]
        for i in range(n)
    ]
    cosines = torch.stack([torch.stack([torch.stack([u @ v for v in w]) for u in w]) for w in ways])
    return lengths / (lengths.sum() / (n * n - n)), cosines


def huber(one, other):
    apart = (one - other).abs()
    return torch.where(apart < 1, apart**2 / 2, apart - 0.5).mean()


@pytest.mark.proves("trajectory_exact", "relational_distillation")
@pytest.mark.parametrize(("on", "student"), [("images", TinyArchitecture(3)), ("texts", None)])
def test_it_ends_where_a_plain_loop_ends(on, student):
    weights = {"distance": 2.0, "angle": 3.0, "student": student}
    run = trajectory(RelationalDistillation, told(**weights), on, batch_size=5)
    teacher, net = teacher_of(run), run.net()

    def loss(target):
        own = net.features(target.inputs)
        distance, angle = zip(
            relations(own), relations(teacher.features(target.inputs)), strict=True
        )
        hard = cross_entropy(net.head(own), target.labels)
        return hard + 2.0 * huber(*distance) + 3.0 * huber(*angle)

    steps(run.batches, net.parameters(), 0.5, loss)
    same(run, net)


def test_without_weights_it_is_scratch_and_with_one_another():
    plain = Bench(Scratch, {"lr_factor": 0.5}).run(10)

    def run(distance, angle):
        return Bench(RelationalDistillation, told(distance=distance, angle=angle)).run(10)

    none, *some = run(0.0, 0.0), run(25.0, 0.0), run(0.0, 50.0)
    assert all(torch.equal(none.state[name], value) for name, value in plain.state.items())
    for other in some:
        assert any(not torch.equal(other.state[name], v) for name, v in plain.state.items())
