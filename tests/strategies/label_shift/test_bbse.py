"""Weights of classes from the joint confusion (Lipton et al. 2018)."""

import pytest
import torch

from transfergrid.records.factory import config_of
from transfergrid.records.training import Training
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.label_shift.bbse import Bbse, weights_of_classes
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinySource


def examples(*counts):
    """Return (said, is) of so many examples each of (0, 0), (0, 1), (1, 0), (1, 1)."""
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1)]
    rows = [pair for pair, n in zip(pairs, counts, strict=True) for _ in range(n)]
    said, labels = torch.tensor(rows).T
    return said, labels


@pytest.mark.proves("formula_exact", "bbse")
@pytest.mark.parametrize(
    ("counts", "target", "expected"),
    [
        # p(0) = 1/2, right 4 times in 5; target 9 to 1: q0 = .9 * .8 + .1 * .2 = .74
        ((40, 10, 10, 40), (0.74, 0.26), (1.8, 0.2)),
        # p(0) = .6, right .9 of class 0 and .75 of class 1; target .2 to .8: q0 = .18 + .2 = .38
        ((54, 10, 6, 30), (0.38, 0.62), (1 / 3, 2.0)),
        ((40, 10, 10, 40), (0.5, 0.5), (1.0, 1.0)),  # no shift
    ],
)
def test_weights_by_hand(counts, target, expected):
    found, _ = weights_of_classes(*examples(*counts), torch.tensor(target, dtype=torch.float64))
    assert found.tolist() == pytest.approx(list(expected), abs=1e-9)


def test_it_is_the_joint_confusion_and_not_the_conditional_one():
    """By the conditional one the second case of above would give shares, .2 and .8, as weights."""
    found, smallest = weights_of_classes(
        *examples(54, 10, 6, 30), torch.tensor([0.38, 0.62], dtype=torch.float64)
    )
    shares = found * torch.tensor([0.6, 0.4], dtype=torch.float64)
    assert shares.tolist() == pytest.approx([0.2, 0.8])
    joint = torch.tensor([[0.54, 0.10], [0.06, 0.30]], dtype=torch.float64)
    assert smallest == pytest.approx(torch.linalg.matrix_norm(joint, -2).item())


def test_what_is_predicted_less_often_than_by_mistake_is_not_there():
    """q0 = .1 is below the .2 of class 1 that are taken for 0: class 0 would weigh -1/3."""
    found, _ = weights_of_classes(
        *examples(40, 10, 10, 40), torch.tensor([0.1, 0.9], dtype=torch.float64)
    )
    assert found.tolist() == pytest.approx([0.0, 7 / 3])


def test_a_class_of_which_nothing_was_held_out_keeps_its_weight():
    """C w = q of the two that were: .4 w0 + .1 w1 = .45, likewise the other."""
    said, labels = examples(40, 10, 10, 40)
    q = torch.tensor([0.45, 0.45, 0.1], dtype=torch.float64)
    found, _ = weights_of_classes(said, labels, q)
    assert found.tolist() == pytest.approx([0.9, 0.9, 1.0])


def test_a_model_that_says_one_class_gives_finite_weights():
    said, labels = torch.zeros(10, dtype=torch.int64), torch.tensor([0, 1] * 5)
    found, smallest = weights_of_classes(said, labels, torch.tensor([1.0, 0.0]).double())
    assert found.tolist() == pytest.approx([1.0, 1.0])
    assert smallest == pytest.approx(0.0, abs=1e-12)


def test_at_strength_0_it_is_source_only_bit_for_bit():
    plan = Training(steps=8, batch_size=8, validations=2, lr=0.01)
    mine = Bench(Bbse, {"strength": 0.0}, training=plan).run(0)
    plain = Bench(SourceOnly, training=plan).run(0)
    for name, value in plain.state.items():
        assert torch.equal(mine.state[name], value), name
    assert mine.setup.strategy.tells() == {}


def test_a_fifth_of_each_class_is_held_out_and_its_labels_teach_nothing():
    source, _ = Bench(Bbse).moments(0)
    strategy, (seen,) = source.strategy, source.batch.source
    held = strategy.scaffold.get_buffer("held")
    labels = torch.from_numpy(source.setup.data.source[0].labels)
    assert labels[held].bincount().tolist() == (labels.bincount() // 5).tolist()
    out = held[seen.rows]
    assert out.any()
    strategy.eval()
    before = strategy.on_kept(source.batch, 0.0).item()
    seen.labels[out] = (seen.labels[out] + 1) % 3
    assert strategy.on_kept(source.batch, 0.0).item() == before
    seen.labels[~out] = (seen.labels[~out] + 1) % 3
    assert strategy.on_kept(source.batch, 0.0).item() != before


def test_a_step_whose_examples_are_all_held_out_teaches_nothing():
    source, _ = Bench(Bbse).moments(0)
    source.strategy.scaffold.get_buffer("held").fill_(True)
    assert source.strategy.on_kept(source.batch, 0.0).item() == 0.0


def test_weighted_loss_is_a_mean_of_weighted_losses():
    _, weighted = Bench(Bbse).moments(0)
    strategy, (seen,) = weighted.strategy.eval(), weighted.batch.source
    weights = torch.tensor([0.5, 2.0, 0.25])
    strategy.scaffold.get_buffer("weights").copy_(weights)
    losses = -strategy.predict(seen.inputs).log_softmax(1)[range(len(seen.labels)), seen.labels]
    expected = (weights[seen.labels] * losses).mean().item()
    assert strategy.on_weighted(weighted.batch, 0.0).item() == pytest.approx(expected, rel=1e-6)


def test_it_finds_the_shares_of_a_target_that_it_has_not_seen_labelled():
    """The source's pool against itself with fewer of one class: shares 1/2, 1/2, 0."""
    source = TinySource()
    bench = Bench(Bbse, training=Training(steps=80, batch_size=16, lr=0.02), source=source)
    kept = type(source.domain)(shift=0.4, only=["circle", "stripe"])
    run = bench.run(0, kept)
    told = run.setup.strategy.tells()
    assert told["source_shares"] == pytest.approx(dict.fromkeys(source.domain.classes, 1 / 3))
    assert told["target_shares"] == pytest.approx(
        {"circle": 0.5, "stripe": 0.5, "cross": 0.0}, abs=0.11
    )
    assert told["smallest_singular_value"] > 0.1
    assert config_of(bench.strategy())["about"]["badges"] == ["formula_exact", "trajectory_exact"]
