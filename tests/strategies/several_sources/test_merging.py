"""Sums and disjoint means of what trainings added to one start; heads stay outside."""

import copy

import pytest
import torch

from golden import golden
from transfergrid.records.errors import BadInputError
from transfergrid.strategies.closed_form.logistic_probe import LogisticProbe
from transfergrid.strategies.several_sources.merging import flat, put_weights, task_vectors
from transfergrid.strategies.several_sources.task_arithmetic import TaskArithmetic, summed
from transfergrid.strategies.several_sources.ties_merging import (
    TiesMerging,
    elected,
    merged,
    trimmed,
)
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyArchitecture, fine_tuned

KINDS = pytest.mark.parametrize("kind", [TaskArithmetic, TiesMerging])


def of(case, strategy):
    given, expected, tolerance = golden(strategy, case)
    start, vectors = (
        torch.tensor(given[n], dtype=torch.float64) for n in ("theta0", "task_vectors")
    )
    return given, expected, tolerance, start, vectors


def near(found, told, tolerance):
    assert found.tolist() == pytest.approx(told, abs=tolerance)


# Task arithmetic --------------------------------------------------------------------------------


@pytest.mark.proves("formula_exact", "task_arithmetic")
def test_task_vectors_are_summed():
    given, expected, tolerance, start, vectors = of("sum_and_negate", "task_arithmetic")
    near(start + summed(vectors, given["scale"]), expected["sum"], tolerance)
    near(start + summed(vectors, given["scale"] / 3), expected["mean"], tolerance)
    near(start + summed(vectors[:1], -given["scale"]), expected["negate_first"], tolerance)


@pytest.mark.proves("formula_exact", "task_arithmetic")
def test_one_vector_at_scale_one_is_the_fine_tuned_network():
    start = TinyArchitecture().build().double()
    (tuned,) = fine_tuned(start, 1)
    made = copy.deepcopy(start)
    put_weights(made, flat(start) + summed(task_vectors(start, [tuned]), 1.0))
    for one, other in zip(made.parameters(), tuned.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-14)


# TIES -------------------------------------------------------------------------------------------


@pytest.mark.proves("formula_exact", "ties_merging")
def test_trim_elect_and_merge():
    given, expected, tolerance, start, vectors = of("merge", "ties_merging")
    left = trimmed(vectors, given["keep"])
    assert left.tolist() == expected["trimmed"]
    assert elected(left).tolist() == expected["elected_signs"]
    found = merged(vectors, given["keep"])
    near(found, expected["merged_vector"], tolerance)
    near(start + given["scale"] * found, expected["merged"], tolerance)
    assert found.tolist() != pytest.approx(expected["merged_vector_authors_code"], abs=1e-6)
    assert found.tolist() != pytest.approx(expected["merged_vector_sum_variant"], abs=1e-6)


@pytest.mark.proves("formula_exact", "ties_merging")
def test_a_whole_share_keeps_signs_and_mean_and_is_no_task_arithmetic():
    vectors = torch.tensor([[1.0, -4.0, 2.0], [3.0, 1.0, 0.0]])
    assert merged(vectors, 1.0).tolist() == [2.0, -4.0, 2.0]
    assert summed(vectors, 0.5).tolist() == [2.0, -1.5, 1.0]


def test_trimming_is_over_all_weights_together_and_of_each_source():
    vectors = torch.tensor([[9.0, 8.0, 7.0, 0.5], [0.0, 0.25, 0.75, 0.5]])
    assert trimmed(vectors, 0.5).tolist() == [[9.0, 8.0, 0.0, 0.0], [0.0, 0.0, 0.75, 0.5]]
    equal = torch.ones(1, 4)
    assert trimmed(equal, 0.5).tolist() == [[1.0, 1.0, 0.0, 0.0]], "of equal ones the first"
    assert trimmed(vectors, 0.0).tolist() == [[0.0] * 4] * 2
    assert trimmed(torch.arange(1.0, 11.0)[None], 0.7).count_nonzero() == 7, "0.7 x 10 is 7"


def test_where_signs_balance_the_majority_elects():
    assert elected(torch.tensor([[1.0, 2.0, -1.0], [-1.0, 0.5, -2.0]])).tolist() == [1, 1, -1]
    assert elected(torch.tensor([[1.0, -2.0, -1.0], [-1.0, -0.5, -2.0]])).tolist() == [-1, -1, -1]


# As strategies ----------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("on", ["images", "tokens", "texts"])
def test_nothing_added_is_the_probe_of_the_start(kind, on):
    """Scale 0: but for BatchNorm's statistics, which are the target's."""
    arguments = {"scale": 0.0} if kind is TaskArithmetic else {"scale": 0.0, "keep": 0.2}
    bench = {
        "images": Bench(kind, arguments),
        "tokens": Bench(kind, arguments).on_tokens(),
        "texts": Bench(kind, arguments).on_texts(),
    }[on]
    run = bench.run(10)
    probe = Bench(LogisticProbe, source=bench.source, domain=bench.domain).run(10)
    for name, value in probe.state.items():
        if name.startswith("backbone") and "running" not in name:
            assert torch.equal(run.state[name], value), name
    if on != "images":  # no BatchNorm
        assert torch.equal(run.state["head.weight"], probe.state["head.weight"])
        assert torch.equal(run.predictions, probe.predictions)


@KINDS
def test_weights_are_merged_and_buffers_are_not(kind):
    value = {"scale": 0.5} if kind is TaskArithmetic else {"keep": 0.3}
    bench = Bench(kind, value)
    setup = bench.set_up(10)
    start, each = bench.source.each(None, 3)
    assert len(each) == 2
    assert setup.strategy.each_source == (), "none is held longer than it is needed"
    run = bench.learn(setup)
    vectors = torch.stack([flat(one) - flat(start) for one in each])
    way = 0.5 * (vectors[0] + vectors[1]) if kind is TaskArithmetic else merged(vectors, 0.3)
    assert torch.allclose(flat(setup.strategy.backbone), flat(start) + way, atol=1e-6)
    counts = {n: v for n, v in start.named_buffers() if not v.is_floating_point()}
    assert counts
    for name, value in counts.items():
        assert torch.equal(run.state[f"backbone.{name}"], value)


def test_statistics_are_those_of_the_merged_network_on_the_targets_training_inputs():
    setup = Bench(TaskArithmetic, {"scale": 0.7}).set_up(10)
    Bench(TaskArithmetic, {"scale": 0.7}).learn(setup)
    net, view = setup.strategy.backbone.network, setup.data.train
    with torch.no_grad():
        maps = net.conv1(view.inputs(view.rows))
    assert torch.allclose(net.bn1.running_mean, maps.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(net.bn1.running_var, maps.var((0, 2, 3)), atol=1e-3)


@KINDS
def test_the_validation_part_chooses_and_its_choice_has_its_own_head_and_statistics(kind):
    run = Bench(kind).run(10)
    (path,) = run.fitted.paths
    strategy = run.setup.strategy
    assert path.name == strategy.dial.name
    assert list(path.values) == list(strategy.dial.values)
    assert path.chosen in strategy.dial.values
    alone = Bench(kind, {path.name: path.chosen}).run(10)
    assert torch.equal(alone.predictions, run.predictions)
    assert alone.fitted.paths[0].validation == (
        path.validation[list(path.values).index(path.chosen)],
    )


@KINDS
def test_where_nothing_validates_the_usual_value_is_put(kind):
    run = Bench(kind).run(5)
    (path,) = run.fitted.paths
    assert path.chosen == run.setup.strategy.dial.default
    assert path.validation == ()


@KINDS
def test_it_tells_how_far_and_how_alike_the_trainings_went(kind):
    told = Bench(kind).run(10).setup.strategy.tells()
    assert len(told["moved"]) == 2
    assert min(told["moved"]) > 0
    assert told["cosines"][0][0] == pytest.approx(1.0, abs=1e-5)
    assert told["cosines"][0][1] == pytest.approx(told["cosines"][1][0], abs=1e-6)
    assert abs(told["cosines"][0][1]) < 1


def test_a_source_whose_start_nobody_knows_cannot_be_merged():
    from transfergrid.sources.source import Source
    from transfergrid.testing.tiny import TinySource

    with pytest.raises(BadInputError, match="trained here"):
        Source.each(TinySource(), None, 0)
