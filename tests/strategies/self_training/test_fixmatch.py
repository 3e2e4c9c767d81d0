"""Strong views learnt by what is sure of weak ones (Sohn et al. 2020)."""

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from golden import golden
from transfergrid.records.training import Training
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.self_training.fixmatch import Fixmatch
from transfergrid.testing.bench import Bench


class Said(torch.nn.Module):
    """Says what it is given."""

    def forward(self, inputs):
        return inputs


@pytest.mark.proves("formula_exact", "fixmatch")
def test_the_loss_of_views_is_the_published_one():
    given, expected, tolerance = golden("fixmatch", "unlabelled_loss")
    bench = Bench(Fixmatch, {"threshold": given["threshold"]})
    strategy, batch = bench.set_up(0).strategy, bench.batch(bench.set_up(0).data)
    weak = torch.tensor(given["weak_probabilities"], dtype=torch.float64).log()
    batch.views = weak, torch.tensor(given["strong_logits"], dtype=torch.float64)
    strategy.features = lambda inputs, recorded=True: inputs
    strategy.head = Said()
    found = strategy.unlabelled_loss(batch, 0.5).item()
    assert found == pytest.approx(expected["loss_mean_over_all"], abs=tolerance)


def without_dropout(strategy):
    for module in strategy.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def moment_of(**plan):
    training = Training(steps=8, batch_size=8, validations=1, **plan)
    (moment,) = Bench(Fixmatch, {"threshold": 0.4}, training=training).moments(0)
    without_dropout(moment.strategy)
    return moment


def test_the_weak_view_is_predicted_as_at_test_time_and_the_strong_one_learns():
    moment = moment_of()
    strategy, (weak, strong) = moment.strategy, moment.batch.views
    before = {name: value.clone() for name, value in strategy.state_dict().items()}
    found = strategy.unlabelled_loss(moment.batch, 0.5)
    assert strategy.backbone.training
    assert all(torch.equal(before[n], v) for n, v in strategy.state_dict().items())
    logits = strategy.head(strategy.features(strong, recorded=False))
    strategy.eval()
    said = strategy.predict(weak).softmax(1)
    sure = said.max(1).values > 0.4
    assert sure.any()
    labels = said.argmax(1)[sure]
    expected = cross_entropy(logits[sure], labels, reduction="sum") / len(said)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    (slope,) = torch.autograd.grad(found, strategy.head.bias)
    by_hand = (logits.softmax(1) - one_hot(said.argmax(1), 3))[sure].sum(0) / len(said)
    assert torch.allclose(slope, by_hand, atol=1e-6)


def test_where_training_augments_nothing_strong_views_are_augmented_all_the_same():
    moment = moment_of(augmentation="none")
    view = moment.setup.data.unlabelled
    weak, strong = moment.batch.views
    assert torch.equal(weak, view.inputs(moment.batch.rows.numpy()))
    assert not torch.equal(weak, strong)


def test_a_threshold_that_nobody_passes_is_the_baseline():
    none, plain = Bench(Fixmatch, {"threshold": 1.0}).run(0), Bench(SourceOnly).run(0)
    assert all(torch.equal(none.state[name], value) for name, value in plain.state.items())
