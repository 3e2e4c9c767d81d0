"""Weights of sources by their scores; all weight on one is that source alone."""

import numpy as np
import pytest
import torch

from golden import golden
from transfergrid.data.several_domains import SeveralDomains
from transfergrid.records.errors import BadInputError
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.several_sources.side_by_side import Passed, equal, weighed
from transfergrid.strategies.several_sources.weighted_sources import (
    WeightedSources,
    foretold,
    nearness,
    weights_of,
)
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyDomain, TinySource

BOTH = SeveralDomains(parts=[TinyDomain(shift=0.4), TinyDomain(shift=0.7)])


@pytest.mark.proves("formula_exact", "weighted_sources")
def test_weights_and_the_loss_that_they_make():
    given, expected, tolerance = golden("weighted_sources", "weights")
    scores, losses = (torch.tensor(given[n], dtype=torch.float64) for n in ("scores", "losses"))
    alpha = weights_of(scores, given["temperature"])
    assert alpha.tolist() == pytest.approx(expected["weights_softmax"], abs=tolerance)
    assert weighed(losses, alpha).item() == pytest.approx(expected["loss_softmax"], abs=tolerance)
    found = weighed(losses, equal(losses)).item()
    assert found == pytest.approx(expected["loss_equal_sources"], abs=tolerance)
    assert found != pytest.approx(expected["loss_pooled_by_size"]), "equal is not pooling"


def test_however_many_sources_there_are_they_count_as_one_batch_beside_the_target():
    losses = torch.tensor([1.0, 3.0])
    seen = Passed([], losses, torch.tensor(5.0), (8, 6, 4))
    assert seen.with_target(weighed(losses, equal(losses))).item() == pytest.approx(
        (8 * 2 + 4 * 5) / 12
    )


@pytest.mark.parametrize("labels", [0, 10])
def test_all_weight_on_one_is_that_source_alone_bit_for_bit(labels):
    first = TinySource(domain=BOTH.parts[0])  # the order of batches is that of the first stream
    kind = SourceAndTarget if labels else SourceOnly
    one = Bench(
        WeightedSources, {"alpha": [1.0, 0.0], "lr_factor": 1.0}, source=TinySource(domain=BOTH)
    ).run(labels)
    other = Bench(kind, {"lr_factor": 1.0}, source=first).run(labels)
    assert torch.equal(one.predictions, other.predictions)
    for name, value in other.state.items():
        assert torch.equal(value, one.state[name]), name


@pytest.mark.parametrize("labels", [0, 10])
def test_a_source_of_no_weight_is_not_passed_through_the_network(labels):
    """Not even BatchNorm takes note of it."""
    bench = Bench(WeightedSources, {"alpha": [0.0, 1.0]}, source=TinySource(domain=BOTH))
    setup = bench.set_up(labels)
    batch = bench.batch(setup.data)
    strategy = setup.strategy.train()
    for module in strategy.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    batch.source[0].inputs.fill_(float("nan"))
    found = strategy.loss(batch, 0.0)
    assert found.isfinite()
    assert all(value.isfinite().all() for value in strategy.state_dict().values())
    batch.source = batch.source[1:]
    seen = batch.labelled()
    assert torch.equal(found, strategy.task.loss(strategy.predict(seen.inputs), seen.labels))


def test_nearness_is_one_where_domains_look_alike_and_none_where_they_are_apart():
    draws = np.random.default_rng(0)
    one, other = draws.normal(size=(200, 3)), draws.normal(size=(150, 3))
    assert nearness(one, other) > 0.8
    assert nearness(one, other + 8.0) == 0.0
    half = np.concatenate([other[:75], other[75:] + 8.0])
    assert 0.2 < nearness(one, half) < 0.8


def test_what_a_source_foretells_of_labels():
    """A line through -1, 1 tells the sign; turned round it tells nothing rightly."""
    source = np.array([[-1.0], [1.0], [-2.0], [2.0]])
    answers = np.array([[1.0, 0.0], [0.0, 1.0]] * 2)
    target, labels = np.array([[-3.0], [-0.5], [4.0]]), np.array([0, 0, 1])
    assert foretold(source, answers, target, labels) == 1.0
    assert foretold(source, answers[:, ::-1], target, labels) == 0.0
    assert foretold(source, answers, target, np.array([0, 1, 1])) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("by", "labels", "scored_by"),
    [("distance", 0, "distance"), ("labels", 10, "labels"), ("labels", 0, "distance")],
)
def test_the_nearer_source_has_the_larger_weight(by, labels, scored_by):
    near, far = TinyDomain(shift=0.05), TinyDomain(shift=1.0)
    domain = SeveralDomains(parts=[near, far])
    run = Bench(WeightedSources, {"by": by}, source=TinySource(domain=domain)).run(labels)
    told = run.setup.strategy.tells()
    assert told["scored_by"] == scored_by
    weights = dict(zip([part.shift for part in domain.parts], told["weights"], strict=True))
    assert weights[0.05] > weights[1.0]
    assert sum(told["weights"]) == pytest.approx(1.0)
    expected = np.exp(np.array(told["scores"]) / 0.1)
    assert told["weights"] == pytest.approx((expected / expected.sum()).tolist(), rel=1e-4)


def test_weights_that_are_given_are_as_many_as_sources():
    bench = Bench(WeightedSources, {"alpha": [0.2, 0.3, 0.5]}, source=TinySource(domain=BOTH))
    with pytest.raises(BadInputError, match="has 3 weights, and the sources are 2"):
        bench.set_up(0)
    given = Bench(WeightedSources, {"alpha": [0.2, 0.8]}, source=TinySource(domain=BOTH)).run(0)
    assert given.setup.strategy.tells()["scored_by"] == "given"
    assert given.setup.strategy.tells()["weights"] == pytest.approx([0.2, 0.8])
