"""(1 - a) CE + a T^2 KL, as a batch mean (Hinton et al. 2015, section 2)."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from taught_loops import steps, teacher_of
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.errors import ImpossibleError
from transfergrid.records.training import Training
from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.distillation import said as memories
from transfergrid.strategies.distillation.distillation import Distillation, distillation_loss
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyArchitecture


@pytest.fixture
def logits():
    rng = torch.Generator().manual_seed(0)
    student = torch.randn(6, 4, generator=rng, dtype=torch.float64)
    teacher = torch.randn(6, 4, generator=rng, dtype=torch.float64)
    return student, teacher, torch.tensor([0, 1, 2, 3, 0, 1])


def loss_of(logits, temperature, weight):
    """Return the loss with the labels' cross-entropy as its hard part."""
    student, teacher, labels = logits
    hard = torch.nn.functional.cross_entropy(student, labels)
    return distillation_loss(student, teacher, hard, temperature, weight)


@pytest.mark.proves("formula_exact", "distillation")
def test_loss_is_the_published_value():
    given, expected, tolerance = golden("distillation", "kd")
    student, teacher = (
        torch.tensor(given[name], dtype=torch.float64) for name in ("student", "teacher")
    )
    labels, weight = torch.tensor(given["labels"]), given["alpha"]
    for temperature, value in (
        (given["temperature"], expected["total_alpha_on_soft"]),
        (1.0, (1 - weight) * expected["ce"] + weight * expected["kl_by_T"]["1"]),
    ):
        found = loss_of((student, teacher, labels), temperature, weight)
        assert found.item() == pytest.approx(value, abs=tolerance)


@pytest.mark.parametrize(("temperature", "weight"), [(1.0, 1.0), (4.0, 0.9), (20.0, 0.3), (2.0, 0)])
def test_loss_is_the_formula(logits, temperature, weight):
    student, teacher, labels = logits
    p = log_softmax(teacher.numpy() / temperature, axis=1)
    q = log_softmax(student.numpy() / temperature, axis=1)
    divergence = (np.exp(p) * (p - q)).sum() / 6  # a mean over the batch, a sum over classes
    entropy = -log_softmax(student.numpy(), axis=1)[np.arange(6), labels.numpy()].mean()
    expected = (1 - weight) * entropy + weight * temperature**2 * divergence
    assert loss_of(logits, temperature, weight).item() == pytest.approx(expected)


def gradient(logits, temperature):
    """Return the gradient that the soft term alone sends into the student's logits."""
    student, teacher, labels = logits
    student = student.clone().requires_grad_()
    loss = loss_of((student, teacher, labels), temperature, 1.0)
    return torch.autograd.grad(loss, student)[0]


def small(logits):
    return 0.35 * logits[0], 0.35 * logits[1], logits[2]


def test_size_of_the_soft_gradient_hardly_depends_on_the_temperature(logits):
    # The published case goes from .214 to .212 between T = 1 and T = 1000.
    norms = [gradient(small(logits), t).norm().item() for t in (1, 4, 100, 1000)]
    assert max(norms) / min(norms) < 1.05


def test_without_the_square_the_gradient_would_shrink_sixteenfold(logits):
    bare = gradient(small(logits), 4.0) / 4.0**2
    assert (bare.norm() / gradient(small(logits), 4.0).norm()).item() == pytest.approx(0.0625)
    assert (bare.norm() / gradient(small(logits), 1.0).norm()).item() == pytest.approx(
        0.06, abs=5e-3
    )


def test_at_high_temperature_it_matches_logits(logits):
    student, teacher, _ = logits
    difference = student - teacher
    centred = difference - difference.mean(dim=1, keepdim=True)
    expected = centred / student.numel()
    found = gradient(logits, 1000.0)
    assert ((found - expected).norm() / expected.norm()).item() < 2e-3


@pytest.mark.proves("trajectory_exact", "distillation")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_it_ends_where_a_plain_loop_ends(on):
    told = {"teacher": FullFinetuning(lr_factor=0.5), "temperature": 3.0, "weight": 0.8}
    run = trajectory(Distillation, {**told, "lr_factor": 0.4}, on)
    theirs, net = teacher_of(run), run.net()

    def loss(target):
        own, soft = net(target.inputs), torch.softmax(theirs(target.inputs) / 3, 1)
        divergence = (soft * (soft.log() - torch.log_softmax(own / 3, 1))).sum(1).mean()
        return 0.2 * cross_entropy(own, target.labels) + 0.8 * 9 * divergence

    steps(run.batches, net.parameters(), 0.4, loss)
    same(run, net)


def test_the_teacher_gets_no_gradient(logits):
    *_, distils = Bench(Distillation, {"teacher": FullFinetuning()}).moments(10)
    strategy = distils.strategy
    strategy.loss(distils.batch, 0.0).backward()
    assert all(p.grad is None for p in strategy.teacher.parameters())
    assert not strategy.teacher.training


def test_a_smaller_student_learns_and_does_not_carry_its_teacher():
    bench = Bench(Distillation, {"teacher": FullFinetuning(), "student": TinyArchitecture(3)})
    run = bench.run(10)
    strategy, taught = run.setup.strategy, run.setup.strategy.teacher
    assert strategy.backbone.dim == 6
    assert taught.backbone.dim == 12
    kept = strategy.kept_state()
    assert not any("teacher" in name for name in kept)
    assert sum(t.numel() for t in kept.values()) < sum(p.numel() for p in taught.parameters())


def test_the_teacher_is_the_adapted_source_and_its_steps_are_counted_apart():
    bench = Bench(Distillation, {"teacher": FullFinetuning()})
    run, alone = bench.run(10), Bench(FullFinetuning).run(10)
    assert (run.fitted.steps, run.fitted.taken["teacher"], run.fitted.taken["target"]) == (8, 8, 8)
    taught = run.setup.strategy.teacher.state_dict()
    assert all(torch.equal(taught[name], tensor) for name, tensor in alone.state.items())


def test_without_weight_it_is_scratch():
    arguments = {"teacher": FullFinetuning(), "weight": 0.0, "lr_factor": 1.0}
    distilled = Bench(Distillation, arguments).run(10)
    scratch = Bench(Scratch, {"lr_factor": 1.0}).run(10)
    assert all(torch.equal(distilled.state[name], t) for name, t in scratch.state.items())


def test_the_loss_uses_the_teachers_logits_on_the_same_batch():
    bench = Bench(Distillation, {"teacher": FullFinetuning(), "temperature": 2.0, "weight": 0.7})
    setup = bench.prepared(10)
    setup.strategy.eval()
    batch = bench.batch(setup.data)
    inputs, labels = batch.target.inputs, batch.target.labels
    said, theirs = setup.strategy.predict(inputs), setup.strategy.teacher.predict(inputs)
    expected = loss_of((said, theirs, labels), 2.0, 0.7)
    assert setup.strategy.loss(batch, 0.5).item() == pytest.approx(expected.item())


@pytest.mark.parametrize(("augmentation", "views"), [("none", None), ("light", 2), ("light", None)])
def test_a_teacher_is_asked_once_of_what_is_met_again(monkeypatch, augmentation, views):
    plan = Training(steps=20, batch_size=8, augmentation=augmentation, views=views, validations=1)
    asked, inside = [], []
    predict, soft = FullFinetuning.predict, Distillation.heard

    def counting(strategy, inputs):
        asked.append(len(inputs) * len(inside))
        return predict(strategy, inputs)

    def asking(strategy, seen):
        inside.append(True)
        try:
            return soft(strategy, seen)
        finally:
            inside.pop()

    monkeypatch.setattr(FullFinetuning, "predict", counting)
    monkeypatch.setattr(Distillation, "heard", asking)

    def run(remember):
        if not remember:
            monkeypatch.setattr(memories, "MOST_BYTES", 0)
        bench = Bench(Distillation, {"teacher": FullFinetuning()}, training=plan)
        setup = bench.set_up(10)
        asked.clear()
        return bench.learn(setup), setup

    kept, setup = run(remember=True)
    examples = len(setup.data.train) * (views or 1)
    said, remembered = sum(asked), bool(len(setup.strategy.said.known))
    plain, _ = run(remember=False)
    assert sum(asked) == 20 * 8
    assert said <= examples if remembered else said == 20 * 8
    assert remembered == (augmentation == "none" or views is not None)
    for name, value in plain.state.items():
        if ".said." not in name:
            torch.testing.assert_close(kept.state[name], value, rtol=1e-5, atol=1e-5, msg=name)


def test_what_is_added_is_the_students_alone():
    added = {"layer_decay": 0.5, "label_smoothing": 0.2, "weight_averaging": 0.5}
    told = {"teacher": FullFinetuning(), "lr_factor": 1.0}
    run, plain = (Bench(Distillation, {**told, **more}).run(10) for more in (added, {}))
    for name, value in plain.state.items():
        if ".teacher." in name:
            assert torch.equal(run.state[name], value)
    assert not torch.equal(run.state["head.weight"], plain.state["head.weight"])


def test_a_student_of_random_weights_begins_with_no_probe_and_is_pulled_to_no_start():
    for key, value in (("probe_first", 1.0), ("l2_sp", 0.1)):
        with pytest.raises(ImpossibleError, match=f"{key} cannot be added: "):
            Bench(Distillation, {"teacher": FullFinetuning(), key: value}).set_up(10)
