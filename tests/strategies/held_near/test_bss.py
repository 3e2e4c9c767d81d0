"""The k smallest singular values of a batch's features, squared (Chen et al. 2019)."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.held_near.bss import BSS, least_squares
from transfergrid.testing.bench import Bench


def exact(rows):
    return torch.tensor(rows, dtype=torch.float64, requires_grad=True)


@pytest.mark.proves("formula_exact", "bss")
def test_squares_of_the_smallest_singular_values():
    for case in ("diag", "fewer_rows_than_columns"):
        given, expected, tolerance = golden("bss", case)
        for name, value in expected.items():
            found = least_squares(exact(given["features"]), int(name[1:])).item()
            assert found == pytest.approx(value, abs=tolerance)


@pytest.mark.proves("formula_exact", "bss")
def test_it_grows_with_the_square_of_the_scale_and_is_not_centred():
    given, expected, tolerance = golden("bss", "scale")
    features = exact(given["features"])
    for k in (1, 2):
        found = least_squares(features, k).item()
        assert found == pytest.approx(expected[f"k{k}"], abs=tolerance)
    scaled = least_squares(given["factor"] * features, 1).item()
    assert scaled == pytest.approx(expected["k1_after_factor"], abs=tolerance)


def test_more_than_there_are_is_the_whole_square():
    features = torch.arange(6.0).reshape(2, 3)
    assert least_squares(features, 7).item() == pytest.approx(55.0, rel=1e-6)


def test_the_gradient_is_right_and_finite_where_values_are_equal_or_zero():
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(5, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: least_squares(f, 2), features)
    for rows in ([[2.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [2.0, 0.0]]):
        features = exact(rows)
        least_squares(features, 1).backward()
        assert features.grad.isfinite().all()


def test_what_has_run_away_is_told_by_the_loss():
    run_away = torch.tensor([[float("nan"), 1.0], [2.0, float("inf")]])
    assert least_squares(run_away, 1).isfinite()


def test_weight_0_is_full_finetuning():
    shrunk, plain = (Bench(BSS, {"weight": 0.0}).run(10), Bench(FullFinetuning).run(10))
    assert all(torch.equal(value, shrunk.state[name]) for name, value in plain.state.items())


def test_the_default_weight_ends_elsewhere_than_full_finetuning():
    shrunk, plain = Bench(BSS).run(10), Bench(FullFinetuning).run(10)
    assert not torch.equal(shrunk.predictions, plain.predictions)


@pytest.mark.proves("trajectory_exact", "bss")
@pytest.mark.parametrize("on", ["images", "tokens", "texts"])
def test_twenty_steps_are_those_of_plain_torch(on):
    run = trajectory(BSS, {"weight": 0.3, "k": 2, "lr_factor": 0.5}, on, schedule="constant")
    net = run.net()
    optimiser = torch.optim.AdamW(net.parameters(), 0.01, weight_decay=0.05)
    for batch in run.batches:
        optimiser.zero_grad()
        features = net.features(batch.target.inputs)  # (8, 12): 8 values, roots of F F' s
        squares = torch.linalg.eigvalsh(features @ features.T)
        fit = cross_entropy(net.head(features), batch.target.labels)
        (fit + 0.3 * squares[:2].sum()).backward()
        optimiser.step()
    same(run, net)
