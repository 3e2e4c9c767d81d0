"""The target's statistics, and not a weight moved (Li et al. 2017)."""

import copy
from types import SimpleNamespace

import pytest
import torch
from norm_alone import Examples, NormAlone

from golden import golden
from transfergrid.records.errors import ImpossibleError
from transfergrid.strategies.adaptation.adabn import Adabn
from transfergrid.strategies.baselines.source_model import SourceModel
from transfergrid.testing.bench import Bench, state_of
from transfergrid.testing.tiny import TinySource


def taken(inputs, eps, sizes=None):
    """Return the layer once statistics of these inputs were taken."""
    strategy = Adabn()
    strategy.backbone = NormAlone(inputs.shape[1], eps)
    strategy.take(SimpleNamespace(unlabelled=Examples(inputs, sizes)))
    return strategy.backbone.network[0].eval()


@pytest.mark.proves("formula_exact", "adabn")
def test_a_shift_of_each_channel_is_undone():
    """Up to n - 1 for n, by which torch's running variance is unbiased."""
    given, expected, tolerance = golden("adabn", "undo_affine")
    assert given["target"] == "source*[2,.5]+[1,-3]"
    source = torch.tensor(given["source"], dtype=torch.float64)
    target = source * torch.tensor([2.0, 0.5]) + torch.tensor([1.0, -3.0])
    assert given["eps"] == 0  # which torch takes for none
    norm, variance = taken(target, 1e-14), expected["target_var_unbiased"]
    assert norm.running_mean.tolist() == pytest.approx(expected["target_mean"], abs=tolerance)
    assert norm.running_var.tolist() == pytest.approx(variance, abs=tolerance)
    wanted = torch.tensor(expected["normalised"], dtype=torch.float64) * (2 / 3) ** 0.5
    assert torch.allclose(norm(target), wanted, atol=tolerance, rtol=0)
    assert torch.allclose(taken(source, 1e-14)(source), wanted, atol=tolerance, rtol=0)


@pytest.mark.proves("formula_exact", "adabn")
def test_batches_count_by_how_many_examples_they_have():
    inputs = torch.tensor([[1.0], [3.0], [0.0], [2.0], [4.0]], dtype=torch.float64)
    norm = taken(inputs, 1e-5, [2, 3])
    assert norm.running_mean.item() == pytest.approx((2 * 2.0 + 3 * 2.0) / 5)
    assert norm.running_var.item() == pytest.approx((2 * 2.0 + 3 * 4.0) / 5)


def test_statistics_are_those_of_all_unlabelled_inputs_layer_by_layer():
    """Of one batch: what a layer has that forgets all before, dropout being off."""
    run = Bench(Adabn).run(0)
    network = copy.deepcopy(TinySource().load(None, 0).network).eval()
    for norm in (network.bn1, network.bn2):
        norm.train()
        norm.momentum = 1.0
    view = run.setup.data.unlabelled
    with torch.no_grad():
        network(view.inputs(view.rows))
    for name in ("bn1", "bn2"):
        for own in ("running_mean", "running_var"):
            found = run.state[f"backbone.network.{name}.{own}"]
            assert torch.allclose(found, getattr(getattr(network, name), own), atol=1e-5), name


def test_nothing_else_moves():
    adapted, plain = Bench(Adabn).run(0), Bench(SourceModel).run(0)
    moved = {n for n, value in plain.state.items() if not torch.equal(value, adapted.state[n])}
    norms = ("bn1", "bn2")
    owns = ("running_mean", "running_var")
    assert moved == {f"backbone.network.{norm}.{own}" for norm in norms for own in owns}
    assert adapted.fitted.steps == 0
    assert not torch.equal(adapted.predictions, plain.predictions)


def test_taken_again_they_are_the_same():
    setup = Bench(Adabn).run(0).setup
    strategy, view = setup.strategy, setup.data.unlabelled
    before = state_of(strategy)
    with torch.no_grad():
        for _ in range(2):
            strategy.take(SimpleNamespace(unlabelled=Examples(view.inputs(view.rows))))
    after = state_of(strategy)
    assert all(torch.allclose(before[name], value, atol=1e-6) for name, value in after.items())
    assert not strategy.training


@pytest.mark.parametrize("contrast", [0.25, 8.0])
def test_a_network_says_of_a_target_of_other_contrast_what_it_says_of_its_own(contrast):
    """What has no bias before its norm is scaled alike in every channel."""
    setup = Bench(Adabn).set_up(0)
    strategy, view = setup.strategy.eval(), setup.data.unlabelled
    for norm in (strategy.backbone.network.bn1, strategy.backbone.network.bn2):
        norm.eps = 1e-12
    inputs, said = view.inputs(view.rows), []
    with torch.no_grad():
        for own in (inputs, contrast * inputs):
            strategy.take(SimpleNamespace(unlabelled=Examples(own)))
            said.append(strategy.predict(own))
    assert torch.allclose(*said, atol=1e-4)
    assert not torch.allclose(said[0], strategy.predict(inputs), atol=1e-2)


def test_it_reads_unlabelled_inputs_alone():
    data = Bench(Adabn).set_up(10).data
    assert data.source == ()
    assert data.train is data.validation is None
    assert len(data.unlabelled.labels) == 0


def test_of_one_example_there_is_nothing_to_take():
    norm = taken(torch.ones(1, 2, dtype=torch.float64), 1e-5)
    assert norm.running_var.tolist() == [1.0, 1.0]


def test_a_network_without_batchnorm_is_refused_in_a_line_that_names_its_norms():
    with pytest.raises(ImpossibleError, match=r"adabn is about BatchNorm.*by LayerNorm"):
        Bench(Adabn).on_tokens().set_up(0)
