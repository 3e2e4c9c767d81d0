"""What a prediction costs: all networks that take part in it, the least of some times."""

import copy
import time

import pytest
import torch

from transfergrid.runs import cell
from transfergrid.runs.cost import forward_seconds
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench, unsealed


class TwoNetworks(Strategy):
    """Predicts by a second copy of the source too."""

    def build(self, sizes):
        self.second = copy.deepcopy(self.backbone)

    def predict(self, inputs):
        return self.head(self.features(inputs) + self.second.embed(inputs))


def judged(kind, **arguments):
    bench = Bench(kind, arguments)
    setup = bench.set_up(5)
    bench.driver(setup).run()
    loaded = setup.target.loaded
    with unsealed(loaded.pool), unsealed(loaded.test):
        return setup, cell.judge(setup, bench.machine)


def test_whoever_predicts_by_two_networks_pays_for_both():
    setup, one = judged(FullFinetuning)
    _, two = judged(TwoNetworks)
    head = 2 * setup.strategy.head.weight.numel()
    assert two.flops - head == 2 * (one.flops - head)
    assert 0 < one.seconds < 1
    assert two.seconds > 0


def test_a_teacher_that_is_not_asked_any_more_costs_nothing():
    assert (
        judged(Distillation, teacher=FullFinetuning())[1].flops == judged(FullFinetuning)[1].flops
    )


def test_the_least_of_some_times_is_told_and_the_first_is_not_measured():
    waits = iter([0.2, 0.02, 0.1, 0.1])
    seconds = forward_seconds(lambda inputs: time.sleep(next(waits)), torch.zeros(1))
    assert seconds == pytest.approx(0.02, abs=0.01)
    assert next(waits, None) is None
