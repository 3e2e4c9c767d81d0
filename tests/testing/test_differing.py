"""No two strategies are one: at one rate, on one cell, each predicts what no other does."""

import inspect
from itertools import combinations

import pytest
import torch

from transfergrid.records.factory import locate
from transfergrid.records.shipped import conf_dir, strategies
from transfergrid.testing import tiny
from transfergrid.testing.bench import quiet_thread
from transfergrid.testing.conformance import bench_for

FEW = 5
"""Labels a class: so few that none validates, and no choice of the step hides a difference."""
ALIKE = {
    frozenset({"full_finetuning", "model_soup"}): "a soup is of a cell's trials; here is only one",
}
"""Pairs that agree on this cell, and why that is no mistake."""
NEAR = {
    "model_soup": "as above",
    "bss": "a thousandth of one small singular value's square, in eight steps",
}
"""What stays close to plain fine-tuning here, and why."""

TOLD = {name: {"threshold": 0.0} for name in ("pseudo_labels", "fixmatch")}
"""Arguments without which a method has nothing to do here: no prediction is sure by then."""


def said(name):
    """Return what a strategy predicts of a tiny test split, at the rate of the training."""
    kind, yaml = locate(strategies()[name]), conf_dir() / "strategy" / f"{name}.yaml"
    rate = {"lr_factor": 1.0} if "lr_factor" in inspect.signature(kind).parameters else {}
    bench = bench_for(kind, yaml, **rate, **TOLD.get(name, {}))
    if bench.of_numbers:
        return None
    with quiet_thread():
        return bench.run(FEW if kind.needs.target_labels != "unused" else 0).predictions


@pytest.fixture(scope="module", params=[0.2, 0.0])
def predictions(request):
    """Return what all predict of a network with dropout, and of one in which no noise helps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "DROPOUT", request.param)
        found = {name: said(name) for name in strategies()}
    return {name: value for name, value in found.items() if value is not None}


def test_no_two_predict_the_same(predictions):
    same = {
        frozenset(pair)
        for pair in combinations(predictions, 2)
        if torch.equal(*(predictions[name] for name in pair))
    }
    assert same == ALIKE.keys()


def test_each_predicts_otherwise_than_plain_finetuning_by_more_than_rounding(predictions):
    plain = predictions["full_finetuning"]
    others = {name: value for name, value in predictions.items() if name != "full_finetuning"}
    alike = {name: value for name, value in others.items() if value.shape == plain.shape}
    near = {name for name, value in alike.items() if torch.allclose(plain, value, atol=1e-4)}
    assert {"model_soup"} <= near <= NEAR.keys()
