"""`source_only` whose BatchNorm takes note of unlabelled target inputs: only its buffers differ."""

import pytest
import torch
from plain_torch import adamw, annealed, set_rate
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.records.errors import ImpossibleError
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.baselines.source_only_target_statistics import (
    SourceOnlyTargetStatistics,
)
from transfergrid.testing.bench import Bench


@pytest.mark.proves("trajectory_exact", "source_only_target_statistics")
def test_its_steps_are_of_the_source_and_its_statistics_of_both():
    run = trajectory(SourceOnlyTargetStatistics, {"lr_factor": 0.5})
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        cross_entropy(net(batch.source[0].inputs), batch.source[0].labels).backward()
        with torch.no_grad():
            net.features(batch.unlabelled)
        optimiser.step()
    same(run, net)


@pytest.mark.parametrize("of", ["both", "target"])
def test_all_parameters_are_those_of_source_only_bit_for_bit_and_no_statistic_is(of):
    plain = Bench(SourceOnly).run(0)
    mixed = Bench(SourceOnlyTargetStatistics, {"statistics": of}).run(0)
    moved = {n for n, value in plain.state.items() if not torch.equal(value, mixed.state[n])}
    assert moved == {
        f"backbone.network.{norm}.{own}"
        for norm in ("bn1", "bn2")
        for own in ("running_mean", "running_var", "num_batches_tracked")
        if own != "num_batches_tracked" or of == "both"
    }
    assert not torch.equal(mixed.predictions, plain.predictions)


def test_the_first_layer_takes_both_in_turn_the_target_last():
    """Two batches at a momentum of a tenth: 0.9 of the source's tenth, then the target's."""
    (moment,) = Bench(SourceOnlyTargetStatistics).moments(0)
    network, batch = moment.strategy.backbone.network, moment.batch
    before = network.bn1.running_mean.clone()
    with torch.no_grad():
        source, target = (
            network.conv1(inputs).mean(dim=(0, 2, 3))
            for inputs in (batch.source[0].inputs, batch.unlabelled)
        )
    moment.strategy.loss(batch, 0.5)
    expected = 0.81 * before + 0.09 * source + 0.1 * target
    assert torch.allclose(network.bn1.running_mean, expected, atol=1e-6)


@pytest.mark.proves("trajectory_exact", "source_only_target_statistics")
def test_of_the_target_alone_they_are_taken_after_the_last_step():
    run = trajectory(SourceOnlyTargetStatistics, {"lr_factor": 0.5, "statistics": "target"})
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        cross_entropy(net(batch.source[0].inputs), batch.source[0].labels).backward()
        optimiser.step()
    counted = net.backbone.network.bn1.num_batches_tracked.clone()
    for norm in (net.backbone.network.bn1, net.backbone.network.bn2):
        norm.momentum = 1.0
    net.features(run.unlabelled)
    for norm in (net.backbone.network.bn1, net.backbone.network.bn2):
        norm.num_batches_tracked = counted
    same(run, net)


def test_a_network_without_batchnorm_is_refused_in_a_line_that_names_its_norms():
    with pytest.raises(ImpossibleError, match=r"tiny.* normalises by LayerNorm"):
        Bench(SourceOnlyTargetStatistics).on_tokens().set_up(0)
