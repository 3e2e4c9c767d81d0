"""(1 - a) CE + a KL with the same network's last fine-tuning (Furlanello et al. 2018)."""

import pytest
import torch
from taught_loops import fine_tuned, steps, teacher_of
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.errors import BadInputError
from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.distillation.distillation import distillation_loss
from transfergrid.strategies.distillation.self_distillation import SelfDistillation
from transfergrid.strategies.few_parameters.lora import Lora
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench


def told(weight=0.5, **more):
    return {"teacher": FullFinetuning(lr_factor=0.5), "weight": weight, "lr_factor": 0.5, **more}


@pytest.mark.proves("formula_exact", "self_distillation")
def test_loss_is_the_published_value():
    given, expected, tolerance = golden("self_distillation", "loss")
    teacher, student = (
        torch.tensor(given[f"{who}_logits"], dtype=torch.float64) for who in ("teacher", "student")
    )
    hard = cross_entropy(student, torch.tensor(given["labels"]))
    assert hard.item() == pytest.approx(expected["cross_entropy"], abs=tolerance)
    for weight, value in ((given["weight"], expected["loss"]), (1.0, expected["kl"])):
        found = distillation_loss(student, teacher, hard, 1.0, weight)
        assert found.item() == pytest.approx(value, abs=tolerance)


def loss_of(net, teacher, weight):
    def loss(target):
        own, soft = net(target.inputs), softmax(teacher(target.inputs), 1)
        divergence = kl_div(log_softmax(own, 1), soft, reduction="sum") / len(own)
        return (1 - weight) * cross_entropy(own, target.labels) + weight * divergence

    return loss


@pytest.mark.proves("trajectory_exact", "self_distillation")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_it_ends_where_a_plain_loop_ends(on):
    run = trajectory(SelfDistillation, told(weight=0.7), on)
    teacher, net = teacher_of(run), run.net()
    steps(run.batches, net.parameters(), 0.5, loss_of(net, teacher, 0.7))
    same(run, net)


def test_the_first_student_teaches_the_second():
    """It learns from the batches after its own teacher's, as a teacher's steps are counted."""
    run = trajectory(SelfDistillation, told(generations=2), batch_size=15)
    assert len(run.target.labels) == 15  # one batch is everything, whichever it is
    first = fine_tuned(run, run.net())
    second = run.net()
    steps(run.batches, second.parameters(), 0.5, loss_of(second, first, 0.5))
    second.eval()
    last = run.net()
    steps(run.batches, last.parameters(), 0.5, loss_of(last, second, 0.5))
    same(run, last)


def test_without_weight_it_is_fine_tuning_whatever_came_before():
    plain = Bench(FullFinetuning, {"lr_factor": 0.5}).run(10)
    for generations in (1, 3):
        run = Bench(SelfDistillation, told(0.0, generations=generations)).run(10)
        assert all(torch.equal(run.state[name], value) for name, value in plain.state.items())
        assert run.fitted.taken["teacher"] == 8 * generations


def test_with_weight_it_is_not():
    run = Bench(SelfDistillation, told()).run(10)
    plain = Bench(FullFinetuning, {"lr_factor": 0.5}).run(10)
    assert any(not torch.equal(run.state[name], value) for name, value in plain.state.items())


def test_a_student_starts_from_the_source_and_its_teacher_stands_still():
    *_, distils = Bench(SelfDistillation, told()).moments(10)
    source = Bench(FullFinetuning, told()["teacher"].hparams).set_up(10).strategy
    ours, theirs = distils.strategy.backbone.state_dict(), source.backbone.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())
    assert not distils.strategy.teacher.training
    distils.strategy.loss(distils.batch, 0.0).backward()
    assert all(p.grad is None for p in distils.strategy.teacher.parameters())


def test_a_trained_one_carries_no_teacher():
    setup = Bench(SelfDistillation, told(generations=2)).set_up(10)
    kept = setup.strategy.kept_state()
    assert kept.keys() == Bench(FullFinetuning).set_up(10).strategy.kept_state().keys()


def test_a_teacher_may_learn_few_parameters_and_its_weights_stand_still():
    *_, distils = Bench(SelfDistillation, {"teacher": Lora(r=2)}).moments(10)
    inside = dict(distils.strategy.teacher.backbone.named_parameters())
    ours = dict(distils.strategy.backbone.named_parameters())
    assert any(value.any() for name, value in inside.items() if "lora_B" in name)
    for name, value in inside.items():
        if "lora_" not in name:
            assert torch.equal(value, ours[name.replace(".base_layer", "")])


def test_a_teacher_of_another_kind_is_refused():
    with pytest.raises(BadInputError, match="must adapt the source's weights"):
        SelfDistillation(Scratch())
