"""The source's weights and head as they are: no step, and the same whatever the target is."""

import pytest
import torch

from transfergrid.strategies.baselines.source_model import SourceModel
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyDomain, TinySource


@pytest.mark.proves("formula_exact", "source_model")
def test_it_predicts_by_the_sources_own_head_and_weights():
    run = Bench(SourceModel).run(0)
    source = TinySource().load(None, 0)
    for name, value in source.state_dict().items():
        assert torch.equal(run.state[f"backbone.{name}"], value), name
    assert torch.equal(run.state["head.weight"], source.head_weights["weight"])
    assert not run.state["head.bias"].any()  # that source's head came without one
    inputs = torch.randn(5, 1, 8, 8)
    features = source.eval().network(inputs)
    expected = features @ source.head_weights["weight"].T
    assert torch.allclose(run.setup.strategy.predict(inputs), expected, atol=1e-6)


def test_it_sees_nothing_of_a_target_and_keeps_one_head():
    setup = Bench(SourceModel).set_up(0)
    assert setup.data.train is setup.data.unlabelled is None
    assert setup.data.source == ()
    assert not [name for name in setup.strategy.kept_state() if "source_head" in name]
    first, other = Bench(SourceModel).run(0), Bench(SourceModel).run(0, TinyDomain(shift=0.9))
    assert all(torch.equal(first.state[name], value) for name, value in other.state.items())
