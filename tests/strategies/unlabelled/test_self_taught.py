"""Self-taught learning: published activations, bases that fit, and labels that are never seen."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from golden import golden
from transfergrid.data.opened import OpenDomain
from transfergrid.records.errors import ImpossibleError
from transfergrid.records.factory import config_of
from transfergrid.strategies.unlabelled.self_taught import SelfTaught
from transfergrid.strategies.unlabelled.sparse_coding import (
    SparseCoder,
    activations,
    better_bases,
    flat,
    learned_bases,
    objective,
)
from transfergrid.testing.bench import Bench, sealed
from transfergrid.testing.tiny import TinyDomain, TinySource
from transfergrid.testing.tiny_text import TinyTextDomain, TinyTextSource

FEW = {"bases": 12, "rounds": 4}


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.proves("formula_exact", "self_taught")
def test_activations_are_the_published_ones():
    given, expected, tolerance = golden("self_taught", "activations")
    beta = given["beta"]
    for columns, inputs, name in (
        ("orthonormal_B", "x3", "a_orthonormal"),
        ("general_B", "x2", "a_general"),
    ):
        bases, row = exact(given[columns]).T.contiguous(), exact([given[inputs]])
        found = activations(row, bases, beta)
        torch.testing.assert_close(found, exact([expected[name]]), rtol=0, atol=tolerance)
    value = objective(row, bases, found, beta)
    assert value.item() == pytest.approx(expected["objective_general"], abs=tolerance)


@pytest.mark.parametrize("beta", [0.05, 0.5])
def test_scikit_learns_lasso_of_half_the_squares_agrees(beta):
    from sklearn.linear_model import Lasso

    rng = np.random.default_rng(0)
    bases, row = rng.normal(size=(5, 8)), rng.normal(size=8)
    bases /= np.linalg.norm(bases, axis=1, keepdims=True)
    lasso = Lasso(alpha=beta / (2 * len(row)), fit_intercept=False, tol=1e-12, max_iter=100_000)
    theirs = lasso.fit(bases.T, row).coef_
    ours = activations(exact(row)[None], exact(bases), beta)
    np.testing.assert_allclose(ours[0].numpy(), theirs, atol=1e-7)


@pytest.mark.parametrize("cosine", [0.8, 0.95, 0.999])
def test_bases_that_are_nearly_alike_are_told_apart(cosine):
    """Of two bases with both activations above 0, G a = B x - beta / 2 has one solution."""
    bases = exact([[1.0, 0.0], [cosine, (1 - cosine**2) ** 0.5]])
    wanted = exact([[0.3, 0.4]])
    beta = 0.1
    gram = bases @ bases.T
    row = torch.linalg.solve(bases, (wanted @ gram + beta / 2).T).T
    torch.testing.assert_close(activations(row, bases, beta), wanted, rtol=0, atol=1e-7)


def test_what_is_found_of_an_input_depends_on_no_other():
    torch.manual_seed(0)
    rows = torch.randn(20, 6, dtype=torch.float64)
    bases = torch.nn.functional.normalize(torch.randn(9, 6, dtype=torch.float64), dim=1)
    alone = torch.cat([activations(row[None], bases, 0.1) for row in rows])
    torch.testing.assert_close(activations(rows, bases, 0.1), alone, rtol=0, atol=1e-9)


def test_a_turn_never_makes_the_objective_worse_and_bases_stay_in_the_ball():
    torch.manual_seed(0)
    rows = torch.randn(60, 6, dtype=torch.float64)
    bases = torch.nn.functional.normalize(torch.randn(9, 6, dtype=torch.float64), dim=1)
    values = []
    for _ in range(6):
        codes = activations(rows, bases, 0.3)
        values.append(objective(rows, bases, codes, 0.3).sum().item())
        bases = better_bases(rows, bases, codes)
        values.append(objective(rows, bases, codes, 0.3).sum().item())
        assert bases.norm(dim=1).max() <= 1 + 1e-12
    assert all(after <= before + 1e-9 for before, after in pairwise(values))
    assert values[-1] < 0.9 * values[0]


def test_bases_that_made_the_inputs_are_found_again():
    torch.manual_seed(1)
    true = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0][:4]
    codes = torch.randn(400, 4, dtype=torch.float64) * (torch.rand(400, 4) < 0.3)
    rows = codes @ true
    start = torch.nn.functional.normalize(true + 0.3 * torch.randn(4, 8).double(), dim=1)
    found = learned_bases(rows, start, 0.05, 40)
    assert ((found @ true.T).abs().max(1).values > 0.99).all()


def test_the_labels_of_the_source_are_out_of_reach_and_move_nothing():
    bench = Bench(SelfTaught, FEW)
    plain = bench.run(10)
    (view,) = plain.setup.data.source
    assert len(view.labels) == 0
    pool = OpenDomain(config_of(bench.source.domain)).loaded.pool
    setup = bench.set_up(10)
    with sealed(pool, "labels"):
        again = bench.learn(setup)
    assert torch.equal(plain.predictions, again.predictions)


def test_other_inputs_of_the_source_are_other_bases():
    other = Bench(SelfTaught, FEW, source=TinySource(domain=TinyDomain(shift=0.9))).run(10)
    plain = Bench(SelfTaught, FEW).run(10)
    assert not torch.equal(plain.state["coder.bases"], other.state["coder.bases"])


def test_large_images_are_averaged_and_their_channels_kept():
    assert flat(torch.zeros(2, 3, 64, 64)).shape == (2, 3 * 32 * 32)
    assert flat(torch.zeros(2, 3, 8, 8)).shape == (2, 3 * 8 * 8)


def test_it_tells_how_well_bases_fit_and_how_few_are_used():
    told = Bench(SelfTaught, FEW).run(10).setup.strategy.tells()
    assert 0 < told["objective_on_source"] < 1  # of inputs whose own mean square is 1
    assert 0 < told["share_of_bases_used"] < 1


def test_texts_are_refused_in_one_line():
    bench = Bench(
        SelfTaught,
        FEW,
        domain=TinyTextDomain,
        source=TinyTextSource(domain=TinyTextDomain(shift=0.4)),
    )
    with pytest.raises(ImpossibleError, match="images or vectors, and no texts"):
        bench.set_up(10)


def test_inputs_that_are_all_alike_are_coded_by_nothing():
    coder = SparseCoder(torch.zeros(1, 1, 4, 4), 3, 0.1)
    coder.learn(torch.ones(5, 16), 2)
    assert torch.equal(coder(torch.ones(2, 1, 4, 4)), torch.zeros(2, 3))
