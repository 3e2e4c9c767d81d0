"""What all share that add a loss of their own predictions on unlabelled inputs."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from transfergrid.records.training import Training
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.self_training.bnm import Bnm
from transfergrid.strategies.self_training.entropy_minimization import EntropyMinimization
from transfergrid.strategies.self_training.fixmatch import Fixmatch
from transfergrid.strategies.self_training.information_maximization import (
    InformationMaximization,
)
from transfergrid.strategies.self_training.mcc import Mcc
from transfergrid.strategies.self_training.pseudo_labels import PseudoLabels
from transfergrid.testing.bench import Bench

ALL = [EntropyMinimization, InformationMaximization, Bnm, Mcc, PseudoLabels, Fixmatch]
KINDS = pytest.mark.parametrize("kind", ALL)
"""Those that are their baseline where their term weighs nothing."""
ADAMW = Training(steps=8, batch_size=8, lr=0.01, validations=2)
SGD = Training(steps=8, batch_size=8, lr=0.01, optimizer="sgd", gradient_clip=0.5)


@KINDS
@pytest.mark.parametrize(
    ("plan", "labels", "baseline"), [(ADAMW, 0, SourceOnly), (SGD, 2, SourceAndTarget)]
)
def test_without_weight_it_is_its_baseline_bit_for_bit(kind, plan, labels, baseline):
    adapted = Bench(kind, {"weight": 0.0}, training=plan).run(labels)
    plain = Bench(baseline, training=plan).run(labels)
    assert {*adapted.state} == {*plain.state}
    assert all(torch.equal(adapted.state[name], value) for name, value in plain.state.items())
    assert torch.equal(adapted.predictions, plain.predictions)


@KINDS
def test_without_weight_it_is_its_baseline_where_a_batch_comes_in_parts_with_dropout(kind):
    plan = Training(steps=3, batch_size=8, validations=1, accumulate=2)
    plain, free = (
        Bench(kind_, told, training=plan).on_texts().run(0).state
        for kind_, told in ((SourceOnly, {}), (kind, {"weight": 0.0}))
    )
    assert all(torch.equal(value, free[name]) for name, value in plain.items())


@KINDS
def test_with_weight_it_is_another(kind):
    told = {"weight": 5.0} | ({"threshold": 0.3} if kind in (PseudoLabels, Fixmatch) else {})
    adapted, plain = Bench(kind, told).run(0), Bench(SourceOnly).run(0)
    assert not torch.equal(adapted.state["head.weight"], plain.state["head.weight"])


@KINDS
def test_the_loss_of_what_is_labelled_is_one_mean_in_which_few_labels_weigh_little(kind):
    """Six labels beside a batch of eight of the source: 6 / 14, and not a half."""
    (moment,) = Bench(kind, {"weight": 0.0}).moments(10)
    strategy, batch = moment.strategy.eval(), moment.batch
    batch.target.inputs, batch.target.labels = batch.target.inputs[:6], batch.target.labels[:6]
    (source,) = batch.source
    of_source, of_target = (
        cross_entropy(strategy.predict(part.inputs), part.labels) for part in (source, batch.target)
    )
    expected = (8 * of_source + 6 * of_target) / 14
    assert strategy.loss(batch, 0.5).item() == pytest.approx(expected.item(), rel=1e-5)


@KINDS
def test_unlabelled_inputs_leave_no_trace_in_the_statistics(kind):
    (moment,) = Bench(kind, {"weight": 1.0}).moments(0)
    strategy, found = moment.strategy, []
    before = {name: value.clone() for name, value in strategy.state_dict().items()}
    for weight in (0.0, 1.0):
        strategy.load_state_dict(before)
        strategy.weight = weight
        strategy.loss(moment.batch, 0.5)
        found.append({name: value.clone() for name, value in strategy.named_buffers()})
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
    name = "backbone.network.bn1.running_mean"
    assert not torch.equal(found[0][name], before[name])  # those of the source do


def test_by_default_it_learns_at_the_rate_of_its_baselines():
    made = [kind().hparams for kind in (*ALL, SourceOnly, SourceAndTarget)]
    assert len({(told["lr_factor"], told["schedule"]) for told in made}) == 1
