"""Filling a matrix: published values, what is missing is no 0, and what is known of whom."""

import numpy as np
import pytest
import torch

from golden import golden
from transfergrid.data.entries import number_of
from transfergrid.data.opened import OpenDomain
from transfergrid.data.planted_ratings import PlantedRatings
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.strategies.matrices.alternating import Block, Term, factorised, row_factors
from transfergrid.strategies.matrices.collective_factorization import CollectiveFactorization
from transfergrid.strategies.matrices.known_entries import Entries, Names, damped, place
from transfergrid.strategies.matrices.matrix_factorization import MatrixFactorization
from transfergrid.strategies.matrices.rating_means import RatingMeans
from transfergrid.strategies.matrices.soft_impute import SoftImpute, completed, shrunk
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny_entries import TinyEntries


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


def seen(values, observed):
    """Return one row's known entries."""
    columns = torch.tensor(observed).bool().nonzero()[:, 0]
    return Entries(torch.zeros_like(columns), columns, exact(values)[columns])


def learned(kind, **arguments):
    """Return a strategy that filled the tiny matrix, and its run."""
    run = Bench(kind, arguments).on_entries().run(50)
    return run.setup.strategy, run


@pytest.mark.proves("formula_exact", "matrix_factorization")
@pytest.mark.parametrize(
    ("by_count", "told"), [(False, "als_user"), (True, "als_user_weighted_by_count")]
)
def test_a_user_s_factors_are_a_ridge_of_known_entries_alone(by_count, told):
    given, expected, tolerance = golden("matrix_factorization", "user_update")
    items = exact(given["item_factors"])
    terms = [Term(seen(given["ratings"], given["observed"]), items)]
    (found,) = row_factors(terms, 1, given["regularisation"], by_count)
    torch.testing.assert_close(found, exact(expected[told]), rtol=0, atol=tolerance)
    if not by_count:
        (unknown,) = (found @ items.T)[[2]].tolist()
        assert unknown == pytest.approx(expected["prediction_for_unobserved"], abs=tolerance)


@pytest.mark.proves("formula_exact", "collective_factorization")
def test_a_user_of_both_matrices_has_the_factors_of_both():
    given, expected, tolerance = golden("collective_factorization", "user_update")
    ours = Term(seen(given["y"], given["y_observed"]), exact(given["Z_target_items"]))
    theirs = Term(seen(given["x"], given["x_observed"]), exact(given["V_source_items"]))
    for alpha, name in ((given["alpha"], "u"), (0.0, "alpha_0_target_only")):
        terms = [ours._replace(weight=1 - alpha), theirs._replace(weight=alpha)]
        (found,) = row_factors(terms, 1, given["lam"])
        torch.testing.assert_close(found, exact(expected[name]), rtol=0, atol=tolerance)


@pytest.mark.proves("formula_exact", "soft_impute")
def test_the_fixed_point_of_soft_impute_is_the_published_one():
    given, expected, tolerance = golden("soft_impute", "fixed_point")
    matrix, observed = exact(given["X"]), exact(given["observed"]).bool()
    left, values, right = shrunk(torch.where(observed, matrix, 0.0), given["lam"])
    first = (left * values) @ right
    torch.testing.assert_close(first, exact(expected["first_step"]), rtol=0, atol=tolerance)
    left, values, right = completed(matrix, observed, given["lam"], SoftImpute().iterations)
    found = (left * values) @ right
    torch.testing.assert_close(found, exact(expected["fixed_point"]), rtol=0, atol=tolerance)
    lost = (matrix - found)[observed].square().sum() / 2 + given["lam"] * values.sum()
    assert lost.item() == pytest.approx(expected["objective"], abs=tolerance)
    assert len(values) == expected["rank"]


@pytest.mark.proves("formula_exact", "rating_means")
def test_means_are_of_items_first_then_of_what_users_leave():
    """By hand: m = 3, b_i = (1 - 1) / 4, ((2) / 3), b_u = what is left, over n + 2."""
    entries = Entries(torch.tensor([0, 1, 0]), torch.tensor([0, 0, 1]), exact([3.0, 1.0, 5.0]))
    found = damped(entries, (2, 2), "both", damping=2.0)
    assert found.mean.item() == pytest.approx(3.0)
    assert found.columns.tolist() == pytest.approx([(0 - 2) / 4, 2 / 3])
    assert found.rows.tolist() == pytest.approx([(0.5 + 4 / 3) / 4, (-1.5) / 3])
    plain = damped(entries, (2, 2), "items", damping=0.0)
    assert plain.columns.tolist() == pytest.approx([-1.0, 2.0])
    assert plain.rows.tolist() == [0.0, 0.0]
    assert damped(entries, (2, 2), "none", 5.0).of(entries).tolist() == [3.0] * 3


def test_no_sweep_raises_the_objective():
    rng = np.random.default_rng(0)
    entries = Entries(
        torch.from_numpy(rng.integers(0, 12, 60)),
        torch.from_numpy(rng.integers(0, 9, 60)),
        torch.from_numpy(rng.normal(size=60)),
    )

    def lost(sweeps):
        rows, (columns,) = factorised([Block(entries, 9, "own")], 12, 3, 0.7, False, sweeps, 1)
        said = (rows[entries.rows] * columns[entries.columns]).sum(1)
        told = (entries.values - said).square().sum()
        return (told + 0.7 * (rows.square().sum() + columns.square().sum())).item()

    found = [lost(sweeps) for sweeps in (1, 2, 3, 5, 20)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]


def test_a_name_is_the_same_number_everywhere_and_a_new_one_is_nowhere():
    known = torch.tensor([number_of(name) for name in ("ada", "ben")]).sort().values
    found, there = place(torch.tensor([number_of(n) for n in ("ben", "eve", "ada")]), known)
    assert there.tolist() == [True, False, True]
    assert known[found[[0, 2]]].tolist() == [number_of("ben"), number_of("ada")]
    assert place(torch.tensor([1]), known[:0])[1].tolist() == [False]


@pytest.mark.parametrize("shares", ["users", "items"])
def test_at_alpha_0_it_is_the_target_alone_to_the_last_bit(shares):
    _, alone = learned(MatrixFactorization)
    _, both = learned(CollectiveFactorization, alpha=0.0, shares=shares)
    assert torch.equal(alone.predictions, both.predictions)


def test_without_anything_left_of_it_soft_impute_is_the_means():
    _, means = learned(RatingMeans)
    _, shrunk_away = learned(SoftImpute, shrinkage=1.0)
    torch.testing.assert_close(means.predictions, shrunk_away.predictions)


@pytest.mark.parametrize("kind", [RatingMeans, MatrixFactorization, SoftImpute])
def test_of_whom_nothing_is_known_the_other_name_is_what_tells(kind):
    strategy, _ = learned(kind)
    nobody = number_of("nobody")
    user, item = int(strategy.row_names[0]), int(strategy.column_names[1])
    said = strategy.predict(torch.tensor([[nobody, nobody], [nobody, item], [user, nobody]]))[:, 0]
    mean = strategy.mean
    assert said[0] == mean
    assert said[1] == mean + strategy.column_means[1]
    assert said[2] == mean + strategy.row_means[0]


def test_a_user_of_the_source_alone_is_known_by_factors():
    strategy, run = learned(CollectiveFactorization)
    numbers = run.setup.data.train.inputs(run.setup.data.train.rows)
    new = ~torch.isin(strategy.row_names, numbers[:, 0])
    shared = int((~new).sum())
    assert strategy.tells()["users_in_common"] == shared
    assert strategy.row_means[new].abs().sum() == 0


def test_names_that_have_nothing_in_common_are_told():
    with pytest.raises(BadInputError, match=r"no items in common.*strategy\.shares=users"):
        learned(CollectiveFactorization, shares="items")


def test_shared_items_are_shared_users_of_the_matrix_turned():
    rng = np.random.default_rng(1)
    told = rng.integers(0, 5, (2, 40))
    entries = Entries(*torch.from_numpy(told), torch.from_numpy(rng.normal(size=40)))
    found = []
    for turned, own in ((False, entries), (True, entries.turned)):
        strategy = CollectiveFactorization(centre="none", rank=2)
        strategy.block_seed = 0
        names = Names(torch.arange(5), torch.arange(5))
        kept = {}
        strategy.keep = lambda *parts, kept=kept: kept.update(parts=parts)
        strategy.factorise(own, names, Block(entries, 5, "source", 0.3), turned=turned)
        found.append(kept["parts"][2:])
    plain, other = (rows @ columns.T for rows, columns in found)
    torch.testing.assert_close(plain, other.T)


def rmse_of(kind, **source):
    target = PlantedRatings(users=60, n_items=40, density=0.3)
    bench = Bench(kind).on_entries()
    if source:
        other = PlantedRatings(users=60, n_items=40, density=0.8, items=1, **source)
        bench.source = type(bench.source)(other)
    setup = bench.set_up("all", target)
    bench.driver(setup).run()
    loaded = OpenDomain(config_of(target)).loaded.test
    view = setup.target.whole("test", setup.preprocess)
    said = setup.strategy.predict(view.inputs(view.rows))[:, 0]
    return (said - torch.from_numpy(loaded.labels)).square().mean().sqrt().item()


def test_planted_factors_are_found_and_a_source_that_has_them_helps():
    means, alone = rmse_of(RatingMeans), rmse_of(MatrixFactorization)
    beside = rmse_of(CollectiveFactorization, shared=True)
    unrelated = rmse_of(CollectiveFactorization, shared=False)
    assert beside < alone < means
    assert unrelated > beside


def test_an_entry_that_is_missing_is_no_0():
    """A unit that is taken off all known values moves all that is told, and nothing else."""
    domain = TinyEntries().load()
    for kind in (RatingMeans, MatrixFactorization, SoftImpute):
        bench = Bench(kind).on_entries()
        setup = bench.set_up(50)
        bench.driver(setup).run()
        view = setup.target.whole("test", setup.preprocess)
        plain = setup.strategy.predict(view.inputs(view.rows))
        moved = bench.set_up(50)
        moved.data.train.labels = moved.data.train.labels + 100
        bench.driver(moved).run()
        said = moved.strategy.predict(view.inputs(view.rows))
        torch.testing.assert_close(said, plain + 100, rtol=0, atol=1e-3)
    assert len(domain.test)
