"""The last group first, one more at a time, then all (Howard & Ruder 2018)."""

import pytest
import torch

from golden import golden
from transfergrid.records.training import SCHEDULES, Training
from transfergrid.strategies.fine_tuning.gradual_unfreezing import GradualUnfreezing
from transfergrid.strategies.fine_tuning.layerwise_lr import LayerwiseLR
from transfergrid.strategies.phases import lengths
from transfergrid.testing.bench import Bench
from transfergrid.testing.cutting import killed
from watched_rates import rates_of

ALSO = {"stem": "g0", "body": "g1", "neck": "g2", "head": "head"}


def test_who_learns_when():
    given, expected, _ = golden("gradual_unfreezing", "schedule")
    assert list(ALSO.values()) == given["groups_bottom_to_top"]
    phases = Bench(GradualUnfreezing).set_up(10).strategy.phases()
    found = []
    for phase, length in zip(phases, lengths(phases, given["epochs"]), strict=True):
        names = sorted(ALSO[group.name] for group in phase.learning())
        found += [names] * length
    assert found == expected["trainable_by_epoch"]


def test_it_takes_as_many_steps_as_the_others_and_its_schedule_runs_once(monkeypatch):
    plan = Training(steps=24, batch_size=8, lr=0.01, schedule="cosine")
    rates = rates_of(Bench(GradualUnfreezing, {"lr_factor": 1.0}, training=plan), 10, monkeypatch)
    expected = [0.01 * SCHEDULES["cosine"](step / 24) for step in range(24)]
    assert [row[0] for row in rates] == pytest.approx(expected)  # of the head


def test_with_all_blocks_from_the_start_it_is_layerwise_lr():
    plan = Training(steps=8, batch_size=8, lr=0.01)
    found = Bench(GradualUnfreezing, {"share": 1e-6, "lr_factor": 1.0}, training=plan).run(10)
    plain = Bench(LayerwiseLR, {"lr_factor": 1.0}, training=plan).run(10)
    assert all(torch.equal(found.state[name], value) for name, value in plain.state.items())


def test_the_head_keeps_its_moments_as_blocks_join_it():
    bench = Bench(GradualUnfreezing, training=Training(steps=6, batch_size=8))
    state = killed(bench, bench.set_up(10), 2)
    kept = state["optimiser"]["named"]["head.weight"]["step"]
    assert float(kept) == 2.0
