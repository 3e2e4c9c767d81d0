"""A linear probe without a step: the optimum of logistic regression on the frozen source."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from composed import planned
from golden import golden
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine
from transfergrid.strategies.closed_form.logistic_probe import LogisticProbe
from transfergrid.strategies.closed_form.softmax_regression import logistic_head
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "logistic_probe")
def test_its_head_is_the_golden_one():
    given, expected, tolerance = golden("logistic_probe", "ridge_logistic")
    features, labels = np.array(given["X"]), np.array(given["y"])
    weights, biases = logistic_head(features, labels, 2, given["C"])
    w, b = (weights[1] - weights[0])[0], biases[1] - biases[0]
    assert np.allclose([w, b], [expected["w"], expected["b"]], atol=tolerance)
    losses = np.log1p(np.exp(-(2 * labels - 1) * (w * features[:, 0] + b)))
    objective = given["C"] * losses.sum() + w**2 / 2
    assert objective == pytest.approx(expected["objective"], abs=tolerance)


@pytest.mark.proves("formula_exact", "logistic_probe")
@pytest.mark.parametrize("c", [0.01, 10.0])
def test_a_cell_predicts_what_scikit_learn_does_of_the_frozen_features(c):
    run = Bench(LogisticProbe, {"c": c}).run(10)
    setup, backbone = run.setup, run.setup.backbone.eval()
    train, test = setup.data.train, setup.target.whole("test", setup.preprocess)
    with torch.no_grad():
        features, others = (
            backbone(view.inputs(view.rows)).double().numpy() for view in (train, test)
        )
    solver = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(features, train.labels)
    assert np.allclose(run.predictions, solver.predict_proba(others), atol=1e-5)
    assert (run.fitted.steps, run.fitted.chosen_by) == (0, "closed_form")


def test_it_is_one_cell_under_every_training():
    assert not LogisticProbe.needs.steps
    with pytest.raises(TypeError, match="lr_factor"):
        LogisticProbe(lr_factor=1.0)


DATA = Path(__file__).parents[4] / "shared" / "data"
KNOWN = {"insects": {5: 0.86, "all": 0.93}, "birds": {5: 0.76, "all": 0.84}}
"""Of a logistic regression on features of ants and bees, found without this code: single runs."""


@pytest.mark.proves("band_reproduced", "logistic_probe")
@pytest.mark.skipif(not (DATA / "weights").is_dir(), reason="the data are not here")
@pytest.mark.parametrize("source", KNOWN)
def test_ants_and_bees_are_told_apart_as_well_as_is_known(source, tmp_path, monkeypatch):
    """What is known lies within two deviations of ten draws, at each budget.

    transfergrid source=mobilenetv2_insects,mobilenetv2_birds source.architecture.size=224
    strategy=logistic_probe target=hymenoptera labels=5,all seed='range(10)' training=images
    baselines=none
    """
    monkeypatch.setenv("TRANSFERGRID_DATA", str(DATA))
    words = (f"source=mobilenetv2_{source}", "source.architecture.size=224", "target=hymenoptera")
    probe = ("strategy=logistic_probe", "training=images", "seed=range(10)")
    ledger, machine = Ledger(tmp_path), Machine("cpu", threads=1, diagnostics="none")
    for labels, known in KNOWN[source].items():
        asked = planned(*words, *probe, f"labels={labels}")
        cells = [cell for cell in asked.cells if cell.id in asked.wanted]
        runs = [run_cell(cell, ledger, machine.kept_in(tmp_path)) for cell in cells]
        scores = np.array([run.scores.test["accuracy"] for run in runs])
        assert len(scores) == 10
        assert abs(scores.mean() - known) < 2 * scores.std(ddof=1)
