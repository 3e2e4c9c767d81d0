"""A border for what the source does not know (Saito et al. 2018)."""

import math

import pytest
import torch

from transfergrid.records.training import Training
from transfergrid.strategies.adaptation.osbp import Osbp, border
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench, source_domain
from transfergrid.testing.tiny import TinySource


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


def bench(arguments=None, kind=Osbp, **plan):
    """Return a bench whose target has a class that its source lacks."""
    source = TinySource(domain=source_domain(Osbp.needs))
    training = Training(**{"steps": 8, "batch_size": 8, "validations": 2, "lr": 0.01, **plan})
    return Bench(kind, arguments or {}, training=training, source=source)


@pytest.mark.proves("formula_exact", "osbp")
@pytest.mark.parametrize("t", [0.5, 0.2])
def test_the_border_by_hand(t):
    """Unknown with 1/4 and with 3/4, whatever is said of known classes."""
    logits = exact([[0.0, 0.0, 0.0, 0.0], [0.0, -50.0, -50.0, math.log(3)]])
    rows = [
        -t * math.log(1 / 4) - (1 - t) * math.log(3 / 4),
        -t * math.log(3 / 4) - (1 - t) * math.log(1 / 4),
    ]
    assert border(logits, t).item() == pytest.approx(sum(rows) / 2, abs=1e-12)
    assert border(logits[:1], t).item() == pytest.approx(rows[0], abs=1e-12)


def test_the_border_is_least_at_t():
    """Its least is the entropy of t; there it has no gradient."""
    for t in (0.5, 0.3):
        logits = exact([[math.log(1 - t), math.log(t)]]).requires_grad_()
        loss = border(logits, t)
        assert loss.item() == pytest.approx(-t * math.log(t) - (1 - t) * math.log(1 - t))
        assert torch.autograd.grad(loss, logits)[0].abs().max() < 1e-12


def test_sure_examples_are_no_infinity():
    for sure in ([200.0, 0.0, 0.0], [0.0, 0.0, 200.0]):
        assert border(torch.tensor([sure]), 0.5).item() == pytest.approx(100.0, rel=1e-2)


def test_head_and_features_pull_against_each_other():
    (moment,) = bench({"weight": 0.7, "t": 0.4}).moments(0)
    strategy, batch = moment.strategy.double().eval(), moment.batch
    seen, target = batch.source[0], batch.unlabelled.double()
    own = strategy.task.loss(strategy.predict(seen.inputs.double()), seen.labels)
    drawn = border(strategy.predict(target), 0.4)
    batch.unlabelled = target
    batch.source = (type(seen)(seen.inputs.double(), seen.labels),)
    loss = strategy.loss(batch, 0.0)
    assert loss.item() == pytest.approx((own + 0.7 * drawn).item())
    for part, sign in ((strategy.head, 1.0), (strategy.backbone, -1.0)):
        parameters = [*part.parameters()]
        found, labelled, moves = (
            torch.autograd.grad(value, parameters, retain_graph=True)
            for value in (loss, own, drawn)
        )
        for f, a, b in zip(found, labelled, moves, strict=True):
            torch.testing.assert_close(f, a + sign * 0.7 * b)


@pytest.mark.parametrize("parts", [1, 2])
def test_weight_0_is_the_baseline_bit_for_bit(parts):
    free = bench({"weight": 0.0}, accumulate=parts).run(0)
    plain = bench(kind=SourceOnly, accumulate=parts).run(0)
    assert all(torch.equal(value, free.state[name]) for name, value in plain.state.items())
    full = bench(accumulate=parts).run(0)
    assert not torch.equal(full.predictions, plain.predictions)


def test_no_source_label_is_unknown_and_some_of_the_target_are():
    run = bench().trained(0)
    assert run.setup.data.task.names == ("circle", "cross", "unknown")
    assert {*run.setup.data.source[0].labels.tolist()} == {0, 1}
    assert run.predictions.shape[1] == 3


def test_it_says_unknown_and_the_baseline_does_not():
    plan = {"steps": 60, "lr": 0.02}
    said, plain = (
        bench(kind=kind, **plan).run(0).predictions.argmax(1) for kind in (Osbp, SourceOnly)
    )
    assert (said == 2).any()
    assert not (plain == 2).any()
