"""Agreement with a running mean of one's own weights (Tarvainen & Valpola 2017)."""

import pytest
import torch

from golden import golden
from transfergrid.records.training import Training
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.self_training.mean_teacher import (
    MeanTeacher,
    disagreement,
    kept_share,
    risen,
)
from transfergrid.testing.bench import Bench

INSIDE = "scaffold.teacher."


@pytest.mark.proves("formula_exact", "mean_teacher")
def test_shares_rise_and_consistency_are_the_published_ones():
    given, expected, tolerance = golden("mean_teacher", "ema_and_consistency")
    shares = [kept_share(step, 0.999) for step in (0, 1, 9, 9999)]
    assert shares == pytest.approx(expected["alpha_ramp_at_steps_0_1_9_9999"], abs=tolerance)
    ends = [risen(epoch / 20, given["warm_up_epochs"] / 20) for epoch in (0, 5, 10)]
    assert ends == pytest.approx(expected["sigmoid_ramp_epochs_0_5_10"], abs=tolerance)
    assert (risen(0.9, 0.5), risen(0.0, 0.0)) == (1.0, 1.0)
    student, teacher = (
        torch.tensor(given[f"{who}_probabilities"], dtype=torch.float64).log()
        for who in ("student", "teacher")
    )
    found = disagreement(student, teacher).item()
    assert found == pytest.approx(expected["squared_error_mean_over_batch"], abs=tolerance)
    assert 2 * found == pytest.approx(expected["squared_error_sum"], abs=tolerance)
    elements = expected["squared_error_mean_over_elements"]
    assert found / 3 == pytest.approx(elements, abs=tolerance)


@pytest.mark.proves("formula_exact", "mean_teacher")
def test_the_teacher_is_the_published_mean():
    """Late in a run, where momentum is what it keeps."""
    given, expected, tolerance = golden("mean_teacher", "ema_and_consistency")
    strategy = Bench(MeanTeacher, {"momentum": given["alpha"]}).set_up(0).strategy.double()
    own, mean = strategy.head.bias, strategy.scaffold["teacher_head"].bias
    with torch.no_grad():
        own[:2] = torch.tensor(given["student"], dtype=torch.float64)
        mean[:2] = torch.tensor(given["teacher_start"], dtype=torch.float64)
        for name in ("teacher_after_1", "teacher_after_2"):
            strategy.follow(1000, 2000)
            assert mean[:2].tolist() == pytest.approx(expected[name], abs=tolerance)


def test_until_momentum_is_reached_it_is_the_mean_of_start_and_all_steps():
    strategy = Bench(MeanTeacher).set_up(0).strategy.double()
    own, seen = strategy.head.bias, [strategy.head.bias.detach().clone()]
    with torch.no_grad():
        for step in range(1, 6):
            own += step
            seen.append(own.clone())
            strategy.follow(step, 5)
            mean = strategy.scaffold["teacher_head"].bias
            assert torch.allclose(mean, torch.stack(seen).mean(0))


def test_statistics_follow_as_weights_do_and_counts_are_taken_over():
    strategy = Bench(MeanTeacher).set_up(0).strategy
    norm, mean = (
        part.get_submodule("network.bn1")
        for part in (strategy.backbone, strategy.scaffold["teacher"])
    )
    norm.running_mean.fill_(1.0)
    norm.num_batches_tracked.fill_(7)
    strategy.follow(3, 5)
    assert mean.running_mean.tolist() == pytest.approx([0.25] * len(mean.running_mean))
    assert int(mean.num_batches_tracked) == 7


@pytest.mark.parametrize(("labels", "baseline"), [(0, SourceOnly), (2, SourceAndTarget)])
def test_without_weight_and_momentum_it_is_its_baseline_bit_for_bit(labels, baseline):
    free = Bench(MeanTeacher, {"weight": 0.0, "momentum": 0.0}).run(labels)
    plain = Bench(baseline).run(labels)
    assert all(torch.equal(free.state[name], value) for name, value in plain.state.items())
    assert torch.equal(free.predictions, plain.predictions)


def test_without_weight_alone_it_is_the_mean_of_its_baselines_weights(monkeypatch):
    """At the default momentum a run of eight steps ends in the true mean of nine weights."""
    seen = []
    follow = MeanTeacher.follow

    def noting(self, step, steps):
        seen.append(self.head.weight.detach().clone())
        follow(self, step, steps)

    begun = Bench(SourceOnly).set_up(0).strategy.head.weight.detach()
    monkeypatch.setattr(MeanTeacher, "follow", noting)
    free, plain = Bench(MeanTeacher, {"weight": 0.0}).run(0), Bench(SourceOnly).run(0)
    assert torch.equal(seen[-1], plain.state["head.weight"])
    mean = torch.stack([begun, *seen]).mean(0)
    assert torch.allclose(free.state["head.weight"], mean, atol=1e-6)


def test_what_is_left_is_the_teacher_and_it_is_what_validates():
    run = Bench(MeanTeacher, {"momentum": 0.5}).trained(10)
    teacher = {n: v for n, v in run.state.items() if n.startswith(INSIDE)}
    assert teacher
    for name, value in teacher.items():
        assert torch.equal(run.state["backbone." + name.removeprefix(INSIDE)], value), name
    strategy = run.setup.strategy
    view = run.setup.data.unlabelled
    inputs = view.inputs(view.rows[:4])
    assert torch.equal(strategy.predict(inputs), strategy.predict_by_teacher(inputs))
    assert strategy.phases()[0].predicts == strategy.predict_by_teacher
    assert not any(name.startswith("scaffold") for name in strategy.kept_state())


def test_the_teacher_stands_still_while_the_student_learns():
    (moment,) = Bench(MeanTeacher).moments(0)
    strategy = moment.strategy
    before = {n: v.clone() for n, v in strategy.scaffold.state_dict().items()}
    loss = strategy.loss(moment.batch, 1.0)
    loss.backward()
    assert all(torch.equal(before[n], v) for n, v in strategy.scaffold.state_dict().items())
    assert all(p.grad is None for p in strategy.scaffold.parameters())
    assert not any(part.training for part in strategy.scaffold["teacher"].modules())


def test_the_teacher_sees_the_weak_view_and_normalises_it_by_its_batch():
    plan = Training(steps=8, batch_size=8, validations=1, augmentation="none")
    (moment,) = Bench(MeanTeacher, {"warm_up": 0.0}, training=plan).moments(0)
    strategy, (weak, strong) = moment.strategy, moment.batch.views
    for module in strategy.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    view = moment.setup.data.unlabelled
    assert torch.equal(weak, view.inputs(moment.batch.rows.numpy()))
    assert not torch.equal(weak, strong)  # strong all the same where training augments nothing
    with torch.no_grad():  # the teacher is the student as yet
        p, q = (
            strategy.head(strategy.features(x, recorded=False)).softmax(1) for x in (strong, weak)
        )
    expected = (p - q).square().sum() / len(p)
    assert strategy.unlabelled_loss(moment.batch, 0.0).item() == pytest.approx(expected.item())
