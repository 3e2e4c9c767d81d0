"""The last group first, one more at a time, then all (Howard & Ruder 2018)."""

import pytest
import torch

from golden import golden, golden_number
from transfergrid.records.training import SCHEDULES, Training
from transfergrid.strategies.fine_tuning.gradual_unfreezing import GradualUnfreezing
from transfergrid.strategies.fine_tuning.layerwise_lr import LayerwiseLR
from transfergrid.strategies.phases import lengths
from transfergrid.testing.bench import Bench
from transfergrid.testing.cutting import killed
from watched_rates import rates_of

ALSO = {"stem": "g0", "body": "g1", "neck": "g2", "head": "head"}


@pytest.mark.proves("formula_exact", "gradual_unfreezing")
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


@pytest.mark.proves("formula_exact", "gradual_unfreezing")
def test_one_slanted_triangle_goes_over_all_stretches(monkeypatch):
    plan = Training(steps=60, batch_size=8, lr=0.01)
    arguments = {"schedule": "slanted_triangular", "lr_factor": 1.0}
    rates = rates_of(Bench(GradualUnfreezing, arguments, training=plan), 10, monkeypatch)
    for step, key in {0: "t0", 3: "t50", 6: "t100", 30: "t500"}.items():  # of 1000 there
        assert rates[step][0] == pytest.approx(golden_number(f"STLR_T1000_{key}"), abs=5e-9)


@pytest.mark.proves("formula_exact", "gradual_unfreezing")
def test_rates_are_discriminative_unless_decay_is_one(monkeypatch):
    plan = Training(steps=8, batch_size=8, lr=0.01, schedule="constant")
    for told, expected in (
        ({}, golden_number("ULMFiT_layer_lrs_top.01_div2.6_4layers")),
        ({"decay": 1.0}, [0.01] * 4),
    ):
        bench = Bench(GradualUnfreezing, {"lr_factor": 1.0, **told}, training=plan)
        head, stem, body, neck = rates_of(bench, 10, monkeypatch)[-1]
        assert [head, neck, body, stem] == pytest.approx(expected, abs=5e-7)


def test_a_block_keeps_every_bit_until_it_joins():
    plan = Training(steps=12, batch_size=8)  # the stem joins with the seventh
    bench = Bench(GradualUnfreezing, training=plan)
    setup = bench.set_up(10)
    start = setup.backbone.state_dict()
    early = {n: value.clone() for n, value in start.items() if "1." in n}  # conv1 and bn1
    killed(bench, setup, 6)
    assert all(torch.equal(setup.backbone.state_dict()[n], v) for n, v in early.items())
    later = bench.set_up(10)
    killed(bench, later, 7)
    assert not any(torch.equal(later.backbone.state_dict()[n], v) for n, v in early.items())
