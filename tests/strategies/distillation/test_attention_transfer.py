"""CE + w sum of mean((q - q')^2), q a layer's squares at length 1 (Zagoruyko et al. 2017)."""

import pytest
import torch
from taught_loops import steps, teacher_of
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.errors import BadInputError
from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.distillation.attention_transfer import (
    AttentionTransfer,
    attention,
    attention_loss,
)
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyArchitecture
from transfergrid.testing.tiny_text import TinyTextArchitecture


def told(**more):
    return {"teacher": FullFinetuning(lr_factor=0.5), "lr_factor": 0.5, **more}


@pytest.mark.proves("formula_exact", "attention_transfer")
def test_the_maps_and_both_forms_are_the_published_values():
    given, expected, tolerance = golden("attention_transfer", "at")
    student, teacher = (
        attention(torch.tensor(given[who], dtype=torch.float64)) for who in ("student", "teacher")
    )
    for found, who in ((student, "map_student"), (teacher, "map_teacher")):
        assert found.flatten().tolist() == pytest.approx(expected[who][0], abs=tolerance)
    for form, value in (("mean_of_squares", "code_mean_of_squares"), ("norm", "paper_norm")):
        found = attention_loss(student, teacher, None, form).item()
        assert found == pytest.approx(expected[value], abs=tolerance)


def test_both_forms_of_two_examples_by_hand():
    """(1, 1) and (1, 0) lie sqrt(2 - sqrt 2) apart at length 1; the second example is alike."""
    student = attention(torch.tensor([[[[1.0, 1.0]]], [[[0.0, 2.0]]]], dtype=torch.float64))
    teacher = attention(torch.tensor([[[[3.0, 0.0]]], [[[0.0, 5.0]]]], dtype=torch.float64))
    apart = 2 - 2**0.5
    found = [attention_loss(student, teacher, None, f).item() for f in ("mean_of_squares", "norm")]
    assert found == pytest.approx([apart / 4, apart**0.5 / 2])


def where_large(layer):
    """Return the mean of the squares of the channels, the second axis, brought to length 1."""
    energy = layer.square().mean(1).flatten(1)
    return energy / energy.square().sum(1, keepdim=True).sqrt()


@pytest.mark.proves("trajectory_exact", "attention_transfer")
@pytest.mark.parametrize("form", ["mean_of_squares", "norm"])
def test_it_ends_where_a_plain_loop_ends_on_maps(form):
    run = trajectory(AttentionTransfer, told(weight=3.0, form=form, student=TinyArchitecture(3)))
    teacher, net = teacher_of(run).backbone.network, run.net()

    def loss(target):
        stem = net.backbone.network[:3](target.inputs)
        apart = (where_large(stem) - where_large(teacher[:3](target.inputs))).square()
        term = apart.mean() if form == "mean_of_squares" else apart.sum(1).sqrt().mean()
        logits = net.head(net.backbone.network[3:](stem))
        return cross_entropy(logits, target.labels) + 3.0 * term

    steps(run.batches, net.parameters(), 0.5, loss)
    same(run, net)


def test_it_ends_where_a_plain_loop_ends_on_the_tokens_of_texts():
    student = TinyTextArchitecture(6)
    run = trajectory(AttentionTransfer, told(weight=3.0, student=student), "texts")
    teacher, net = teacher_of(run).backbone.network, run.net()

    def hidden(layers, inputs):
        words = layers["words"](inputs["input_ids"])
        return words, layers["body"](words)

    def loss(target):
        total, real = cross_entropy(net(target.inputs), target.labels), target.inputs
        real = real["attention_mask"].double()
        pairs = (hidden(layers, target.inputs) for layers in (net.backbone.network, teacher))
        for mine, theirs in zip(*pairs, strict=True):
            q, other = (where_large((x * real[..., None]).transpose(1, 2)) for x in (mine, theirs))
            total = total + 3.0 * (q - other).square().sum() / real.sum()
        return total

    steps(run.batches, net.parameters(), 0.5, loss)
    same(run, net)


def test_without_weight_it_is_scratch_and_with_it_another():
    plain = Bench(Scratch, {"lr_factor": 0.5}).run(10)
    none, some = (Bench(AttentionTransfer, told(weight=weight)).run(10) for weight in (0.0, 1e3))
    assert all(torch.equal(none.state[name], value) for name, value in plain.state.items())
    assert any(not torch.equal(some.state[name], value) for name, value in plain.state.items())


def test_layers_are_given_in_pairs():
    told_so = told(teacher_layers=["stem"], student_layers=[1])
    assert Bench(AttentionTransfer, told_so).set_up(10).strategy.pairs == [(0, 0, (4, 4))]
    with pytest.raises(BadInputError, match="must be as many, and are 1 and 0"):
        Bench(AttentionTransfer, told(teacher_layers=[1])).set_up(10)
