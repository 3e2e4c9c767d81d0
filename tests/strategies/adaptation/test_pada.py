"""Classes weighted by what is said of the target (Cao et al. 2018)."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from golden import golden
from transfergrid.records.training import Training
from transfergrid.strategies.adaptation.domain_adversarial import DomainAdversarial, discriminator
from transfergrid.strategies.adaptation.pada import Pada, class_weights
from transfergrid.strategies.adaptation.weighted_domains import domain_loss
from transfergrid.testing.bench import Bench, source_domain
from transfergrid.testing.tiny import TinySource


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


def bench(arguments=None, kind=Pada, **plan):
    """Return a bench whose source has two classes that its target lacks."""
    source = TinySource(domain=source_domain(Pada.needs))
    training = Training(**{"steps": 8, "batch_size": 8, "validations": 2, "lr": 0.01, **plan})
    return Bench(kind, arguments or {}, training=training, source=source)


@pytest.mark.proves("formula_exact", "pada")
@pytest.mark.parametrize(
    ("temperature", "name"),
    [(1.0, "paper_divided_by_max"), (0.1, "temperature_0_1_divided_by_max")],
)
def test_classes_weigh_what_is_said_of_the_target(temperature, name):
    given, expected, tolerance = golden("pada", "class_weights")
    found = class_weights(exact(given["target_logits"]), temperature)
    torch.testing.assert_close(found, exact(expected[name]), rtol=0, atol=tolerance)
    if temperature == 1.0:  # the authors' code divides by the mean, which a mean of losses undoes
        theirs = exact(expected["official_ce_weight_divided_by_mean"])
        torch.testing.assert_close(found / found.sum(), theirs / theirs.sum())


@pytest.mark.proves("formula_exact", "pada")
def test_the_labelled_loss_is_divided_by_the_sum_of_weights():
    """And the domain loss is not: it is a mean over the examples, as it is without weights."""
    _, moment = bench({"weight": 0.7}).moments(0)
    strategy, batch = moment.strategy.eval(), moment.batch
    weights = torch.tensor([1.0, 0.5, 0.25, 0.0, 0.1])
    strategy.scaffold.weights.copy_(weights)
    seen = batch.source[0]
    logits, labels = strategy.predict(seen.inputs), seen.labels
    assert {3, 4} & {*labels.tolist()}  # of classes that the target lacks
    expected = cross_entropy(logits, labels, weights)
    strategy.weight = 0.0
    assert strategy.loss(batch, 0.5).item() == pytest.approx(expected.item(), rel=1e-5)
    strategy.weight = 0.7
    critic = strategy.scaffold["discriminator"]
    of_source, of_target = (
        critic(strategy.features(x))[:, 0] for x in (seen.inputs, batch.unlabelled)
    )
    own = binary_cross_entropy_with_logits(of_source, torch.ones(8), reduction="none")
    theirs = binary_cross_entropy_with_logits(of_target, torch.zeros(8), reduction="none")
    domains = (weights[labels] * own).sum() / 16 + theirs.sum() / 16
    found = strategy.loss(batch, 0.5).item()
    assert found == pytest.approx((expected + 0.7 * domains).item(), rel=1e-5)


def test_target_labels_count_1():
    _, moment = bench({"weight": 0.0}).moments(10)
    strategy, batch = moment.strategy.eval(), moment.batch
    strategy.scaffold.weights.fill_(0.25)
    logits = [strategy.predict(part.inputs) for part in (batch.source[0], batch.target)]
    labels = [part.labels for part in (batch.source[0], batch.target)]
    source, target = (
        cross_entropy(*pair, reduction="sum") for pair in zip(logits, labels, strict=True)
    )
    expected = (0.25 * source + target) / (0.25 * len(labels[0]) + len(labels[1]))
    assert strategy.loss(batch, 0.0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_domain_loss_of_even_weights_is_a_mean():
    critic, source, target = discriminator(4, 3), torch.randn(5, 4), torch.randn(7, 4)
    truth = torch.cat([torch.ones(5), torch.zeros(7)])
    plain = binary_cross_entropy_with_logits(critic(torch.cat([source, target]))[:, 0], truth)
    found = domain_loss(critic, source, target, torch.ones(5))
    torch.testing.assert_close(found, plain)


def test_the_weights_are_of_the_whole_target_in_eval_mode():
    """As the first weighted step finds them, the network stands as it was trained until then."""
    arguments = {"temperature": 0.5, "wait": 0.5, "every": 0.9}
    run = bench(arguments).trained(0)
    fresh = bench(arguments).set_up(0)
    strategy, view = fresh.strategy, fresh.data.unlabelled
    strategy.load_state_dict(run.notes.starts[1])
    assert strategy.scaffold.weights.eq(1).all()
    with torch.no_grad():
        said = (2 * strategy.eval().predict(view.inputs(view.rows))).softmax(1).mean(0)
    torch.testing.assert_close(run.state["scaffold.weights"], said / said.max())


def test_weights_are_renewed_as_often_as_asked(monkeypatch):
    at = []
    renew = Pada.renew
    monkeypatch.setattr(
        Pada, "renew", lambda self, data: at.append(renew(self, data) or self.scaffold.weights + 0)
    )
    bench({"wait": 0.2, "every": 0.25}, steps=20).run(0)
    assert len(at) == 4  # of the 16 steps that are left
    assert not any(torch.equal(one, other) for one, other in zip(at[1:], at, strict=False))


def test_with_even_weights_it_is_domain_adversarial():
    """The neutral case: a large temperature weighs all classes alike."""
    plan = {"precision": "64-true", "steps": 10}
    even = bench({"temperature": 1e12, "wait": 0.3}, **plan).run(0)
    plain = bench(kind=DomainAdversarial, **plan).run(0)
    for name, value in plain.state.items():
        torch.testing.assert_close(even.state[name], value, rtol=0, atol=1e-9)
    weighted = bench({"temperature": 0.1, "wait": 0.3}, **plan).run(0)
    far = (weighted.state["head.weight"] - plain.state["head.weight"]).abs().max()
    assert far > 1e-4


def test_classes_that_the_target_lacks_lose_their_weight():
    run = bench({"every": 0.1}, steps=60, lr=0.02).run(0)
    assert run.setup.data.task.outputs == 5
    weights = run.state["scaffold.weights"]
    assert weights.max() == 1
    assert weights[3:].max() < weights[:3].min()
