"""Labels by what a memory says of the nearest neighbours (Liang et al. 2021)."""

import math

import pytest
import torch

from golden import golden
from transfergrid.records.training import Training
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.self_training.atdoc import Atdoc, agreement, said_nearby, sharpened
from transfergrid.testing.bench import Bench


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.proves("formula_exact", "atdoc")
def test_neighbours_their_labels_and_the_loss():
    given, expected, tolerance = golden("atdoc", "neighbours_and_memory")
    memory = exact(given["memory_features"]), exact(given["memory_probabilities"])
    own = torch.tensor(given["own_index"])
    said, nearest = said_nearby(exact(given["target_features"]), own, memory, given["k"])
    assert nearest.sort(1).values.tolist() == expected["neighbours"]
    torch.testing.assert_close(said, exact(expected["aggregated"]), rtol=0, atol=tolerance)
    weights, labels = said.max(1)
    assert labels.tolist() == expected["pseudo_labels"]
    torch.testing.assert_close(weights, exact(expected["weights"]), rtol=0, atol=tolerance)
    found = agreement(exact(given["logits"]), said).item()
    assert found == pytest.approx(expected["loss"], abs=tolerance)
    assert found != pytest.approx(expected["loss_unweighted"], abs=1e-3)


def test_the_length_of_features_plays_no_part():
    """Each row's similarities are multiplied by one number; the memory's own are of length 1."""
    memory = torch.nn.functional.normalize(torch.randn(9, 4), dim=1), torch.rand(9, 3)
    features, rows = torch.randn(5, 4), torch.arange(5)
    one, other = (said_nearby(n * features, rows, memory, 3)[1] for n in (0.1, 30.0))
    assert torch.equal(one, other)


@pytest.mark.proves("formula_exact", "atdoc")
def test_it_is_sharpened_down_the_batch():
    given, expected, tolerance = golden("atdoc", "neighbours_and_memory")
    found = sharpened(exact(given["logits"]).softmax(1))
    torch.testing.assert_close(found, exact(expected["sharpened"]), rtol=0, atol=tolerance)
    assert not torch.allclose(found.sum(1), torch.ones(2, dtype=torch.float64), atol=0.1)


@pytest.mark.proves("formula_exact", "atdoc")
@pytest.mark.parametrize(("momentum", "told"), [(1.0, "1"), (0.9, "0p9")])
def test_rows_of_a_step_are_renewed_and_no_other(momentum, told):
    given, expected, tolerance = golden("atdoc", "neighbours_and_memory")
    strategy = Bench(Atdoc, {"momentum": momentum}).set_up(0).strategy.double()
    strategy.scaffold.features = exact(given["memory_features"])
    strategy.scaffold.said = exact(given["memory_probabilities"])
    strategy.features = lambda inputs: inputs  # what the network makes of them is given
    strategy.head = torch.nn.Linear(2, 3, bias=False).double()
    seen = exact(given["target_features"])
    strategy.head.weight.data = torch.linalg.solve(seen, exact(given["logits"])).T
    strategy._seen = [(part, rows) for part, rows in zip(seen.split(1), OWN.split(1), strict=True)]
    strategy.remember(1, 8)
    rows = exact(expected[f"memory_rows_momentum_{told}"])
    features, said = strategy.memory
    torch.testing.assert_close(said[OWN], rows, rtol=0, atol=tolerance)
    of_length_1 = torch.nn.functional.normalize(seen, dim=1)
    kept = exact(given["memory_features"])
    expected_features = momentum * of_length_1 + (1 - momentum) * kept[OWN]
    torch.testing.assert_close(features[OWN], expected_features, rtol=0, atol=tolerance)
    others = [i for i in range(len(kept)) if i not in OWN.tolist()]
    assert torch.equal(features[others], kept[others])
    assert not strategy._seen


OWN = torch.tensor([0, 3])


def test_the_memory_starts_as_directions_that_say_all_classes_alike():
    features, said = Bench(Atdoc).set_up(0).strategy.memory
    torch.testing.assert_close(features.norm(dim=1), torch.ones(len(features)))
    assert said.eq(1 / 3).all()
    one, other = (Bench(Atdoc).set_up(0).strategy.memory[0] for _ in range(2))
    assert torch.equal(one, other)


def test_a_step_is_remembered_by_its_rows_as_evaluation_sees_them():
    """After one step the memory's rows are what the trained network says in eval mode."""
    plan = Training(steps=1, batch_size=8, lr=0.01, augmentation="none", validations=1)
    bench = Bench(Atdoc, training=plan)
    before = bench.set_up(0).strategy.memory
    run = bench.run(0)
    strategy = run.setup.strategy.eval()
    batch = bench.batch(run.setup.data)
    features = strategy.features(batch.unlabelled)
    kept, said = strategy.memory
    torch.testing.assert_close(kept[batch.rows], torch.nn.functional.normalize(features, dim=1))
    squares = strategy.head(features).softmax(1) ** 2
    torch.testing.assert_close(said[batch.rows], squares / squares.sum(0))
    others = [i for i in range(len(kept)) if i not in batch.rows.tolist()]
    assert torch.equal(kept[others], before[0][others])


def test_a_batch_in_parts_is_sharpened_as_a_whole():
    plan = {"steps": 4, "batch_size": 8, "lr": 0.01, "augmentation": "none", "validations": 1}
    whole, parts = (
        Bench(Atdoc, {"weight": 0.0}, training=Training(**plan, accumulate=n)).on_texts().run(0)
        for n in (1, 2)
    )
    for name in ("features", "said"):
        one, other = (run.state[f"scaffold.{name}"] for run in (whole, parts))
        assert (one - other).abs().max() < 0.02  # dropout of the parts is another one


@pytest.mark.parametrize(("labels", "baseline"), [(0, SourceOnly), (10, SourceAndTarget)])
@pytest.mark.parametrize("parts", [1, 2])
def test_weight_0_is_the_baseline_bit_for_bit(labels, baseline, parts):
    plan = Training(steps=8, batch_size=8, validations=2, lr=0.01, accumulate=parts)
    free = Bench(Atdoc, {"weight": 0.0}, training=plan).run(labels)
    plain = Bench(baseline, training=plan).run(labels)
    assert all(torch.equal(value, free.state[name]) for name, value in plain.state.items())
    assert torch.equal(free.predictions, plain.predictions)
    full = Bench(Atdoc, {"weight": 5.0}, training=plan).run(labels)
    assert not torch.equal(full.predictions, plain.predictions)


def test_losses_that_no_step_follows_do_not_pile_up():
    (moment,) = Bench(Atdoc).moments(0)
    for _ in range(5):
        moment.strategy.loss(moment.batch, 0.5)
    assert sum(len(rows) for _, rows in moment.strategy._seen) == len(moment.batch.rows)


def test_the_weight_grows_with_the_steps():
    (moment,) = Bench(Atdoc, {"weight": 1.0}).on_tokens().moments(0)
    strategy = moment.strategy.eval()
    begin, half, end = (strategy.loss(moment.batch, p).item() for p in (0.0, 0.5, 1.0))
    assert end - begin == pytest.approx(2 * (half - begin), rel=1e-4)
    assert end - begin > 1e-3


def test_an_example_alone_has_no_neighbour():
    strategy = Bench(Atdoc).set_up(0).strategy
    strategy.scaffold.features = strategy.memory[0][:1]
    strategy.scaffold.said = strategy.memory[1][:1]
    bench = Bench(Atdoc)
    batch = bench.batch(bench.spare(0).data)
    batch.unlabelled, batch.rows = batch.unlabelled[:1], torch.tensor([0])
    assert math.isfinite(strategy.eval().loss(batch, 1.0).item())
