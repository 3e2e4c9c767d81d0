"""CE + w mean((t - r(s))^2) (Romero et al. 2015)."""

import pytest
import torch
from taught_loops import steps, teacher_of
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.distillation.fitnets import Fitnets, hint_loss
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyArchitecture
from transfergrid.testing.tiny_text import TinyTextArchitecture


def told(**more):
    return {"teacher": FullFinetuning(lr_factor=0.5), "lr_factor": 0.5, **more}


@pytest.mark.proves("formula_exact", "fitnets")
def test_the_hint_is_a_mean_over_all_elements():
    given, expected, tolerance = golden("fitnets", "hint")
    student, teacher = (
        torch.tensor(given[name], dtype=torch.float64)
        for name in ("student_after_regressor", "teacher")
    )
    found = hint_loss(student, teacher).item()
    assert found == pytest.approx(expected["mse_all_elements"], abs=tolerance)
    assert found * student.numel() / 2 == pytest.approx(expected["half_sum"], abs=tolerance)
    # Of three vectors of one number each, half the sum over the batch is 3.5, half of all 10.5.
    assert hint_loss(torch.tensor([[1.0], [2.0], [4.0]]), torch.zeros(3, 1)).item() == 7.0


@pytest.mark.proves("trajectory_exact", "fitnets")
def test_it_ends_where_a_plain_loop_ends_on_maps():
    layers = {"teacher_layer": 1, "student_layer": "stem", "student": TinyArchitecture(3)}
    run = trajectory(Fitnets, told(weight=2.0, **layers))
    teacher, net = teacher_of(run).backbone.network, run.net()
    kernel, bias = (
        run.start[f"scaffold.regressor.{name}"].clone().requires_grad_()
        for name in ("weight", "bias")
    )

    def loss(target):
        stem = net.backbone.network[:3](target.inputs)
        mapped = torch.einsum("oc,nchw->nohw", kernel[:, :, 0, 0], stem) + bias[:, None, None]
        hint = (mapped - teacher[:3](target.inputs)).square().mean()
        logits = net.head(net.backbone.network[3:](stem))
        return cross_entropy(logits, target.labels) + 2.0 * hint

    steps(run.batches, [*net.parameters(), kernel, bias], 0.5, loss)
    same(run, net)


def test_it_ends_where_a_plain_loop_ends_on_the_tokens_of_texts():
    run = trajectory(Fitnets, told(weight=2.0, student=TinyTextArchitecture(6)), "texts")
    teacher, net = teacher_of(run).backbone.network, run.net()
    kernel, bias = (
        run.start[f"scaffold.regressor.{name}"].clone().requires_grad_()
        for name in ("weight", "bias")
    )

    def body(layers, inputs):
        return layers["body"](layers["words"](inputs["input_ids"]))

    def loss(target):
        real = target.inputs["attention_mask"].bool()
        mapped = body(net.backbone.network, target.inputs)[real] @ kernel[:, :, 0, 0].T + bias
        hint = (mapped - body(teacher, target.inputs)[real]).square().mean()
        return cross_entropy(net(target.inputs), target.labels) + 2.0 * hint

    steps(run.batches, [*net.parameters(), kernel, bias], 0.5, loss)
    same(run, net)


def test_without_weight_it_is_scratch_and_with_it_another():
    plain = Bench(Scratch, {"lr_factor": 0.5}).run(10)
    none, some = (Bench(Fitnets, told(weight=weight)).run(10) for weight in (0.0, 100.0))
    assert all(torch.equal(none.state[name], value) for name, value in plain.state.items())
    assert any(not torch.equal(some.state[name], value) for name, value in plain.state.items())


def test_the_regressor_learns_and_is_not_kept():
    run = Bench(Fitnets, told()).run(10)
    begun = Bench(Fitnets, told()).set_up(10).strategy.state_dict()
    name = "scaffold.regressor.weight"
    assert not torch.equal(run.state[name], begun[name])
    assert name not in run.setup.strategy.kept_state()
