"""Two contrasts beside the labels, with queues and a second network (Zhong et al. 2020)."""

import copy
import math

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.training import Training
from transfergrid.strategies.contrasts import Queues, contrast
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.held_near.bi_tuning import BiTuning, with_one
from transfergrid.testing.bench import Bench

AUGMENTED = Training(steps=8, batch_size=8, validations=2, lr=0.01, augmentation="light")


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


def by_class(given, name):
    return exact([given[name][label] for label in ("0", "1")])


@pytest.mark.proves("formula_exact", "bi_tuning")
def test_features_are_contrasted_with_those_of_other_classes():
    given, expected, tolerance = golden("bi_tuning", "contrastive_parts")
    query, key = exact(given["z_query_normalised"]), exact(given["z_key_normalised"])
    queued = torch.einsum("ckd,nd->nck", by_class(given, "queue_z_by_class"), query)
    labels = torch.tensor([given["label"]])
    found = contrast((query * key).sum(1), queued, labels, given["T"]).item()
    assert found == pytest.approx(expected["ccl_kl"], abs=tolerance)
    assert found + math.log(2) == pytest.approx(expected["ccl_cross_entropy"], abs=tolerance)


@pytest.mark.proves("formula_exact", "bi_tuning")
def test_heads_are_contrasted_with_features_before_the_keys_of_the_step_join():
    given, expected, tolerance = golden("bi_tuning", "contrastive_parts")
    strategy = Bench(BiTuning, {"queue": 1}).set_up(10).strategy
    strategy.head = torch.nn.Linear(2, 2).double()
    strategy.head.weight.data = exact(given["head_weight"])
    strategy.head.bias.data = exact(given["head_bias"])
    strategy.queues.features = by_class(given, "queue_h_by_class_normalised_with_1")
    labels, features = torch.tensor([given["label"]]), exact(given["h_query"]).requires_grad_()
    found = strategy._of_heads(features, labels)
    assert found.item() == pytest.approx(expected["cce_kl"], abs=tolerance)
    found.backward()
    assert strategy.head.weight.grad is None
    assert features.grad.abs().sum() > 0
    strategy.queues.features[0, 0] = with_one(features.detach())[0]  # as one library reads it
    after = expected["cce_kl_if_the_current_key_replaces_the_queue_first_as_in_tllib"]
    assert strategy._of_heads(features, labels).item() == pytest.approx(after, abs=tolerance)


@pytest.mark.proves("formula_exact", "bi_tuning")
def test_even_similarities_are_as_far_as_all_there_are():
    """log of 1 + C K logits less log of K + 1 positives, whatever the temperature."""
    found = contrast(torch.zeros(3), torch.zeros(3, 4, 5), torch.tensor([0, 3, 1]), 0.07)
    assert found.item() == pytest.approx(math.log(21 / 6))


class TestQueues:
    def queues(self, batch=6):
        made = Queues(2, 3, {"features": 2, "projections": 1}, batch)
        assert torch.allclose(made.features.norm(dim=2), torch.ones(2, 3))
        made.projections.zero_()
        return made

    def add(self, queues, numbers, labels):
        keys = torch.tensor(numbers, dtype=torch.float32).unsqueeze(1)
        queues.add(torch.tensor(labels), features=torch.cat([keys, -keys], 1), projections=keys)

    def test_the_oldest_of_a_class_go_first(self):
        queues = self.queues()
        self.add(queues, [1, 2, 3], [0, 1, 0])
        assert queues.projections.eq(0).all()  # they wait
        queues.push()
        assert queues.projections[..., 0].tolist() == [[1, 3, 0], [2, 0, 0]]
        self.add(queues, [4, 5], [0, 0])
        self.add(queues, [6], [1])  # of another part of the batch
        queues.push()
        assert queues.projections[..., 0].tolist() == [[5, 3, 4], [2, 6, 0]]
        assert torch.equal(queues.features[0, :, 1], -queues.projections[0, :, 0])

    def test_of_more_than_fit_the_last_stay(self):
        queues = self.queues()
        self.add(queues, [1, 2, 3, 4, 5], [0, 0, 0, 0, 0])
        queues.push()
        assert queues.projections[0, :, 0].tolist() == [4, 5, 3]

    def test_losses_that_no_step_follows_do_not_pile_up(self):
        queues = self.queues(batch=3)
        for number in range(5):
            self.add(queues, [number, number], [0, 1])
        queues.push()
        assert queues.projections[..., 0].tolist() == [[4, 0, 0], [4, 0, 0]]


def test_weight_0_is_full_finetuning_and_1_is_not():
    plain = Bench(FullFinetuning, training=AUGMENTED).run(10)
    free = Bench(BiTuning, {"weight": 0.0}, training=AUGMENTED).run(10)
    assert all(torch.equal(value, free.state[name]) for name, value in plain.state.items())
    tuned = Bench(BiTuning, training=AUGMENTED).run(10)
    assert not torch.equal(tuned.predictions, plain.predictions)


def test_weight_0_is_full_finetuning_where_a_batch_comes_in_parts_with_dropout():
    plan = Training(steps=3, batch_size=8, validations=1, accumulate=2)
    plain, free = (
        Bench(kind, told, training=plan).on_texts().run(5).state
        for kind, told in ((FullFinetuning, {}), (BiTuning, {"weight": 0.0}))
    )
    assert all(torch.equal(value, free[name]) for name, value in plain.items())


def test_keys_move_no_other_draws():
    (moment,) = Bench(BiTuning).on_texts().moments(10)
    drawn = []
    for weight in (0.0, 1.0):
        moment.strategy.weight = weight
        torch.manual_seed(0)
        moment.strategy.loss(moment.batch, 0.0)
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


@pytest.mark.parametrize("momentum", [1.0, 0.0])
def test_the_second_network_follows(momentum):
    run = Bench(BiTuning, {"momentum": momentum}).run(10)
    begun = Bench(BiTuning).set_up(10).strategy
    own = begun.scaffold["projector"].weight if momentum else run.state["scaffold.projector.weight"]
    assert torch.equal(run.state["scaffold.second_projector.weight"], own)
    for name, value in begun.scaffold["second"].named_buffers():
        assert torch.equal(run.state[f"scaffold.second.{name}"], value)  # no statistics move


def test_where_nothing_is_augmented_dropout_makes_the_other_view():
    plan = Training(steps=2, batch_size=8, validations=1, augmentation="none")
    (moment,) = Bench(BiTuning, training=plan).on_texts().moments(10)
    seen = moment.batch.target
    assert all(torch.equal(value, seen.inputs[name]) for name, value in seen.again.items())
    one, other = (moment.strategy.keys_of(seen.again)[0] for _ in range(2))
    assert not torch.equal(one, other)
    assert not any(part.training for part in moment.strategy.scaffold["second"].modules())


@pytest.mark.proves("trajectory_exact", "bi_tuning")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_twenty_steps_are_those_of_plain_torch(on):
    told = {"weight": 0.5, "temperature": 0.2, "queue": 3, "momentum": 0.9, "projection": 5}
    reads = ("target", "again")
    plan = {"schedule": "constant", "augmentation": "light", "lr_factor": 0.5}
    told["lr_factor"] = plan.pop("lr_factor")
    run = trajectory(BiTuning, told, on, reads=reads, **plan)
    net, key = run.net(), run.net()
    begun = {n.removeprefix("scaffold."): v.clone() for n, v in run.start.items()}
    project = torch.nn.Linear(12 if on == "images" else 16, 5).double()
    project.weight.data, project.bias.data = begun["projector.weight"], begun["projector.bias"]
    key_project = copy.deepcopy(project)
    queue = [begun[f"queues.{name}"] for name in ("features", "projections")]
    places = [0, 0, 0]
    optimiser = torch.optim.AdamW([*net.parameters(), *project.parameters()], 0.01)
    optimiser.param_groups[0]["weight_decay"] = 0.05

    def apart(own, queued, label):
        logits = torch.cat([own.view(1), queued.flatten()]) / 0.2
        share = torch.zeros_like(logits)
        share[[0, *range(1 + 3 * label, 4 + 3 * label)]] = 0.25
        return (share[share > 0] * (0.25 * torch.ones(4).double()).log()).sum() - (
            share * logits.log_softmax(0)
        ).sum()

    for batch in run.batches:
        optimiser.zero_grad()
        y, f = batch.target.labels, net.features(batch.target.inputs)
        with torch.no_grad():
            g = key.features(batch.target.again)
            keys = [normalize(torch.cat([g, torch.ones(8, 1)], 1)), normalize(key_project(g))]
            w = normalize(torch.cat([net.head.weight, net.head.bias[:, None]], 1))
        h, z = normalize(torch.cat([f, torch.ones(8, 1)], 1)), normalize(project(f))
        loss = cross_entropy(net.head(f), y)
        for i, c in enumerate(y.tolist()):
            loss = loss + 0.5 / 8 * apart(h[i] @ w[c], queue[0] @ w[c], c)
            loss = loss + 0.5 / 8 * apart(z[i] @ keys[1][i], queue[1] @ z[i], c)
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for a, b in ((key, net), (key_project, project)):
                for slow, fast in zip(a.parameters(), b.parameters(), strict=True):
                    slow.copy_(0.9 * slow + 0.1 * fast)
            for i, c in enumerate(y.tolist()):
                queue[0][c, places[c]], queue[1][c, places[c]] = keys[0][i], keys[1][i]
                places[c] = (places[c] + 1) % 3
    queued = {"features": queue[0], "projections": queue[1]}
    same(run, net.state_dict() | {f"scaffold.queues.{n}": q for n, q in queued.items()})
