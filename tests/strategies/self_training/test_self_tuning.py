"""Groups of labelled and pseudo-labelled examples, contrasted (Wang et al. 2021)."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from golden import golden
from transfergrid.records.training import Training
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.self_training.self_tuning import SelfTuning
from transfergrid.testing.bench import Bench

AUGMENTED = Training(steps=8, batch_size=8, validations=2, lr=0.01, augmentation="light")


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


def told(temperature):
    """Return a strategy whose projections are given, with the golden queues, and the case."""
    given, expected, tolerance = golden("self_tuning", "pseudo_group_contrast")
    arguments = {"queue": 2, "temperature": temperature or given["temperature"]}
    strategy = Bench(SelfTuning, arguments).set_up(10).strategy
    strategy.scaffold["projector"] = torch.nn.Identity()
    strategy.queues.projections = exact([given["queue_class_0"], given["queue_class_1"]])
    return strategy, exact(given["query"]), exact(given["key"]), expected, tolerance


@pytest.mark.proves("formula_exact", "self_tuning")
@pytest.mark.parametrize(
    ("label", "temperature", "name"),
    [
        (0, None, "kl_label_0"),
        (1, None, "kl_label_1"),
        (0, 0.07, "kl_label_0_temperature_0p07"),
    ],
)
def test_a_query_is_contrasted_with_all_groups(label, temperature, name):
    strategy, query, key, expected, tolerance = told(temperature)
    found = strategy.apart(3.0 * query, key, torch.tensor([label])).item()
    assert found == pytest.approx(expected[name], abs=tolerance)
    if name == "kl_label_0":
        assert found + math.log(3) == pytest.approx(
            expected["cross_entropy_label_0"], abs=tolerance
        )


def test_two_of_a_class_see_the_queue_as_it_was():
    """The second sample of a class is not contrasted with the first one's key."""
    strategy, query, key, _, _ = told(None)
    alone = strategy.apart(query, key, torch.tensor([0])).item()
    both = strategy.apart(query.repeat(2, 1), key.repeat(2, 1), torch.tensor([0, 0]))
    assert both.item() == pytest.approx(alone, abs=1e-12)


def test_all_keys_of_a_step_join_one_queue_after_it():
    """Labelled ones by their labels, then the others by what the query's own logits name."""
    bench = Bench(SelfTuning, {"queue": 20, "projection": 5}, training=AUGMENTED).on_tokens()
    (moment,) = bench.moments(10)
    strategy, batch = moment.strategy.eval(), moment.batch
    for module in strategy.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    kept = strategy.queues.projections.clone()
    keys = torch.cat([strategy.keys_of(seen)[1] for seen in (batch.target.again, batch.views[1])])
    strategy.loss(batch, 0.0)
    assert torch.equal(strategy.queues.projections, kept)
    labels = torch.cat([batch.target.labels, strategy.predict(batch.views[0]).argmax(1)])
    strategy.follow(1, 8)
    for label in range(3):
        own, now = keys[labels == label], strategy.queues.projections[label]
        assert torch.equal(now[: len(own)], own)
        assert torch.equal(now[len(own) :], kept[label, len(own) :])


def test_pseudo_labels_have_no_threshold_and_no_gradient():
    (moment,) = Bench(SelfTuning).on_tokens().moments(10)
    strategy, batch = moment.strategy.eval(), moment.batch
    head = [*strategy.head.parameters()]
    plain = strategy.task.loss(strategy.predict(batch.target.inputs), batch.target.labels)
    slopes = [torch.autograd.grad(loss, head) for loss in (strategy.loss(batch, 0.0), plain)]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other)  # of the contrasts the head learns nothing
    seen = []
    apart = strategy.apart
    strategy.apart = lambda f, k, labels: seen.append(labels) or apart(f, k, labels)
    strategy.loss(batch, 0.0)
    assert torch.equal(seen[0], batch.target.labels)
    assert torch.equal(seen[1], strategy.predict(batch.views[0]).argmax(1))
    assert len(seen[1]) == len(batch.rows)


@pytest.mark.parametrize("parts", [1, 2])
def test_weight_0_is_full_finetuning_and_1_is_not(parts):
    plan = Training(steps=6, batch_size=8, validations=2, lr=0.01, accumulate=parts)
    plain = Bench(FullFinetuning, training=plan).run(10)
    free = Bench(SelfTuning, {"weight": 0.0}, training=plan).run(10)
    assert all(torch.equal(value, free.state[name]) for name, value in plain.state.items())
    tuned = Bench(SelfTuning, training=plan).run(10)
    assert not torch.equal(tuned.predictions, plain.predictions)


def test_the_rest_of_the_step_draws_what_it_would_without():
    (moment,) = Bench(SelfTuning).on_texts().moments(10)
    drawn = []
    for weight in (0.0, 1.0):
        moment.strategy.weight = weight
        torch.manual_seed(0)
        moment.strategy.loss(moment.batch, 0.0)
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


@pytest.mark.parametrize("momentum", [1.0, 0.0])
def test_the_second_network_follows(momentum):
    run = Bench(SelfTuning, {"momentum": momentum}).run(10)
    begun = Bench(SelfTuning).set_up(10).strategy
    own = begun.scaffold["projector"].weight if momentum else run.state["scaffold.projector.weight"]
    assert torch.equal(run.state["scaffold.second_projector.weight"], own)
    for name, value in begun.scaffold["second"].named_buffers():
        assert torch.equal(run.state[f"scaffold.second.{name}"], value)  # no statistics move


def test_the_queues_begin_as_noise_of_length_1():
    queue = Bench(SelfTuning).set_up(10).strategy.queues.projections
    assert queue.shape == (3, 32, 1024)
    torch.testing.assert_close(queue, normalize(queue, dim=2))
    assert not torch.equal(queue[0], queue[1])
