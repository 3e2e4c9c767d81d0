"""Two tasks on one backbone, their gradients added, or freed of conflict (Yu et al. 2020)."""

import pytest
import torch

from golden import golden
from transfergrid.strategies.tasks.multitask import Multitask
from transfergrid.strategies.tasks.pcgrad import PCGrad, project_conflicts
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "pcgrad")
def test_each_gradient_loses_what_runs_against_another():
    given, expected, tolerance = golden("pcgrad", "two_tasks")
    gradients = [torch.tensor(g, dtype=torch.float64) for g in given["gradients"]]
    found = project_conflicts(gradients)
    assert found.tolist() == pytest.approx(expected["sum"], abs=tolerance)


def test_what_is_projected_on_is_the_original():
    """Three tasks; worked out by hand: g1 and g2 conflict, g3 conflicts with neither."""
    gradients = [torch.tensor(g) for g in ([1.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 2.0])]
    assert project_conflicts(gradients).tolist() == pytest.approx([0.5, 1.5, 2.0])


@pytest.mark.parametrize("kind", [PCGrad, Multitask])
def test_without_conflict_it_is_the_sum(kind):
    (moment,) = Bench(kind).moments(10)
    one = [torch.rand_like(p) for p in moment.strategy.learning()]
    for part, own in zip(moment.strategy.combined([one, one]), one, strict=True):
        torch.testing.assert_close(part, 2 * own)


def test_what_a_head_learns_is_no_conflict_and_is_not_looked_at():
    (moment,) = Bench(PCGrad).moments(10)
    strategy = moment.strategy
    heads = {id(p) for p in (*strategy.head.parameters(), *strategy.scaffold.parameters())}
    one = [torch.rand_like(p) for p in strategy.learning()]
    other = [
        -9.0 * own if id(p) in heads else own
        for p, own in zip(strategy.learning(), one, strict=True)
    ]
    for part, own, theirs in zip(strategy.combined([one, other]), one, other, strict=True):
        torch.testing.assert_close(part, own + theirs)


def test_the_gradient_of_both_is_that_of_the_summed_loss():
    (moment,) = Bench(Multitask, {"weight": 0.5}).moments(10)
    strategy, batch = moment.strategy.eval(), moment.batch
    first, second = (o.loss for o in moment.phase.objectives)
    (first(batch, 0.0) + second(batch, 0.0)).backward()
    shared = strategy.backbone.network.conv1.weight
    expected = shared.grad.clone()
    parts = [torch.autograd.grad(loss(batch, 0.0), shared)[0] for loss in (first, second)]
    (found,) = strategy.combined([[part] for part in parts])
    assert torch.allclose(found, expected, atol=1e-6)


def test_the_source_has_a_head_of_its_own_that_is_not_kept():
    run = Bench(PCGrad).run(10)
    strategy = run.setup.strategy
    assert not any("source" in name for name in strategy.kept_state())
    assert run.fitted.taken["source"] == run.fitted.steps == 8
