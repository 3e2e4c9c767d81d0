"""Entropy over BatchNorm's scales and shifts, batch by batch (Wang et al. 2021)."""

import pytest
import torch
from norm_alone import NormAlone
from torch import nn

from golden import golden
from transfergrid.data.batches import Batch
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.records.training import Training
from transfergrid.strategies.adaptation.adabn import Adabn
from transfergrid.strategies.adaptation.tent import Tent, entropy
from transfergrid.strategies.base import Sizes
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyArchitecture


@pytest.mark.proves("formula_exact", "tent")
def test_one_step_is_the_papers():
    given, expected, tolerance = golden("tent", "one_step")

    def number(name):
        return torch.tensor(given[name], dtype=torch.float64)

    strategy = Tent()
    strategy.backbone = NormAlone(2, given["eps"])
    norm = strategy.backbone.network[0]
    norm.weight.data, norm.bias.data = number("gamma"), number("beta")
    strategy.head = nn.Linear(2, 3, bias=False).double()
    strategy.head.weight.data = number("classifier").T
    batch = Batch(unlabelled=number("inputs"))

    def said():
        return strategy.predict(batch.unlabelled).detach().flatten().tolist()

    def flat(name):
        return pytest.approx([part for row in expected[name] for part in row], abs=tolerance)

    assert said() == flat("logits_returned_before_update")
    loss = strategy.loss(batch, 0.0)
    assert loss.item() == pytest.approx(expected["loss"], abs=tolerance)
    slopes = torch.autograd.grad(loss, [norm.weight, norm.bias])
    for slope, name in zip(slopes, ("gradient_gamma", "gradient_beta"), strict=True):
        assert slope.tolist() == pytest.approx(expected[name], abs=tolerance)
    with torch.no_grad():
        norm.weight -= given["lr"] * slopes[0]
        norm.bias -= given["lr"] * slopes[1]
    assert strategy.loss(batch, 0.0).item() == pytest.approx(expected["loss_after"], abs=tolerance)
    assert said() == flat("logits_after_update")


@pytest.mark.proves("formula_exact", "tent")
def test_entropy_is_a_mean_over_examples_and_a_sum_over_classes():
    said = torch.tensor([[0.5, 0.25, 0.25], [1.0, 1e-30, 1e-30]], dtype=torch.float64)
    assert entropy(said.log()).item() == pytest.approx(1.5 * 0.6931471805599453 / 2)


def test_scales_and_shifts_move_and_no_other_parameter():
    adapted, begun = Bench(Tent).run(0), Bench(Tent).set_up(0).strategy.state_dict()
    moved = {n for n, value in begun.items() if not torch.equal(value, adapted.state[n])}
    norms = [f"backbone.network.{norm}" for norm in ("bn1", "bn2")]
    parameters = {f"{norm}.{own}" for norm in norms for own in ("weight", "bias")}
    names = dict(adapted.setup.strategy.named_parameters())
    assert moved & names.keys() == parameters
    owns = ("running_mean", "running_var", "num_batches_tracked")
    assert moved - names.keys() == {f"{norm}.{own}" for norm in norms for own in owns}


def test_all_but_without_a_rate_it_is_adabn():
    plan = Training(steps=8, batch_size=8, lr=1e-30)
    adapted, plain = Bench(Tent, training=plan).run(0), Bench(Adabn).run(0)
    for name, value in plain.state.items():
        still = torch.allclose(adapted.state[name], value, atol=1e-25, rtol=0)
        assert still or name.endswith("tracked"), name
    assert torch.equal(adapted.predictions, plain.predictions)


@pytest.mark.parametrize(
    ("passes", "size", "most", "steps"),
    [(1, 8, 40, 7), (2, 8, 40, 15), (1, 8, 5, 5), (2, 99, 9, 2)],
)
def test_each_input_passes_as_often_as_asked(passes, size, most, steps):
    """Of 60 inputs, seven batches of eight; four are left over, and none comes twice."""
    plan = Training(steps=most, batch_size=size, lr=0.01)
    bench = Bench(Tent, {"passes": passes}, training=plan)
    setup = bench.set_up(0)
    assert len(setup.data.unlabelled) == 60
    assert bench.learn(setup).fitted.steps == steps
    rows = [int(row) for step in range(steps) for row in bench.batch(setup.data, step).rows]
    assert max(rows.count(row) for row in set(rows)) <= passes


def test_it_reads_a_stream_of_unlabelled_inputs_alone():
    (moment,) = Bench(Tent).moments(0)
    assert moment.batch.source == ()
    assert moment.batch.target is None
    assert moment.setup.data.source == ()


def test_a_network_without_batchnorm_is_refused_in_a_line_that_names_its_norms():
    with pytest.raises(ImpossibleError, match=r"tent is about BatchNorm.*by LayerNorm"):
        Bench(Tent).on_tokens().set_up(0)


def test_a_stream_of_one_example_is_refused():
    setup = Bench(Tent).set_up(0)
    backbone, head = TinyArchitecture().build(), nn.Linear(12, 3)
    made, parts = Tent(), (backbone, setup.data.task, Training(), 0)
    with pytest.raises(BadInputError, match="one example has no statistics"):
        made.attach(*parts, sizes=Sizes(unlabelled=1), source_head=head)
