"""Cells whose labels are numbers, of images and of texts, start to finish."""

import csv
import json

import numpy as np
import pytest
from safetensors.torch import load_file

from transfergrid import api
from transfergrid.data.arrays import Arrays
from transfergrid.data.text_table import TextTable
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.training import Training
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked
from transfergrid.strategies.adaptation.domain_adversarial import DomainAdversarial
from transfergrid.strategies.baselines.majority import Majority
from transfergrid.strategies.baselines.ridge_regression import RidgeRegression
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.tiny import TinySource
from transfergrid.testing.tiny_text import TinyTextSource
from transfergrid.verbs.cli import main

CPU = Machine(accelerator="cpu", threads=1)
PLAN = Training(steps=60, batch_size=16, lr=0.01, validations=4)


def images(folder):
    """Return grey pictures whose brightness and contrast, in odd units, are the labels."""
    rng = np.random.default_rng(0)
    y = rng.uniform([1000, 0.01], [3000, 0.04], (120, 2))
    noise = rng.uniform(-1, 1, (120, 8, 8))
    x = 255 * (y[:, 0, None, None] / 4000 + 6 * y[:, 1, None, None] * noise)
    np.savez(folder / "pictures.npz", x=x.clip(0, 255).astype(np.uint8), y=y)
    return Arrays(file=str(folder / "pictures.npz"), metric="r2", test_split=0.3)


def texts(folder):
    """Return texts of words of which the share of w1 to w4 is the label, in thousands."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(120):
        own = rng.random(9) < rng.random()
        words = np.where(own, rng.integers(1, 5, 9), rng.integers(5, 30, 9))
        rows.append({"t": " ".join(f"w{w}" for w in words), "y": 1000 * float((words < 5).mean())})
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return TextTable(
        file=str(folder / "t.jsonl"), text="t", label="y", metric="mae", test_split=0.3
    )


def planned(source, strategy, target, labels=60):
    """Return the cells of an arm on a target, its baseline first."""
    asked = Asked(
        sources=[api._option(source)],
        strategies=[api._option(strategy)],
        targets=[api._option(target)],
        trainings=[api._option(PLAN)],
        labels=[labels],
        seeds=[1],
    )
    return Planner(api._baseline).plan(asked)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A ledger of image and text cells, with the records by target and strategy."""
    folder = tmp_path_factory.mktemp("numbers")
    ledger, found = Ledger(folder / "results"), {}
    for name, target, source in (
        ("images", images(folder), TinySource()),
        ("texts", texts(folder), TinyTextSource()),
    ):
        for strategy in (Majority(), RidgeRegression(), FullFinetuning()):
            for cell in planned(source, strategy, target).cells:
                record = run_cell(cell, ledger, CPU, keep="all")
                found[name, record.names.strategy] = record
    return ledger, found


@pytest.mark.parametrize("name", ["images", "texts"])
def test_a_record_of_numbers(done, name):
    ledger, found = done
    record = found[name, "full_finetuning"]
    outputs = ("y0", "y1") if name == "images" else ("y",)
    assert (record.data.classes, record.data.outputs, record.data.per_class) == ((), outputs, {})
    n = 36 if name == "images" else 40  # of a table three tenths of each tenth, rounded
    assert (record.data.train, record.data.validation, record.data.test) == (50, 10, n)
    assert record.metric.higher_is_better == (name == "images")
    for scores in (record.scores.train, record.scores.validation, record.scores.test):
        assert scores.keys() == {"mse", "mae", "rmse", "r2"}
    said = ledger.predictions(record.id)
    errors = said.values.reshape(n, -1) - said.labels.reshape(n, -1).astype(float)
    assert record.scores.test["mse"] == pytest.approx((errors**2).mean(), rel=1e-5)
    assert record.scores.test["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    labels = said.labels.reshape(n, -1).astype(float)
    assert record.data.floor["mse"] == pytest.approx(labels.var(axis=0).mean(), rel=1e-5)
    assert record.chosen.by == "validation"
    assert record.baseline.name == "scratch"
    assert record.diagnostics.features is None
    assert "labels are numbers" in record.diagnostics.skipped["features"]
    curves = ledger.curves(record.id)
    best = (max if name == "images" else min)(curves["validation_score"])
    assert record.scores.validation[record.metric.name] == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("name", ["images", "texts"])
def test_numbers_are_learned_whatever_their_unit(done, name):
    """Labels of 2,000 beside labels of .02, or of 500: training explains a good part of each."""
    _, found = done
    assert found[name, "full_finetuning"].scores.test["r2"] > 0.2
    assert found[name, "scratch"].scores.test["r2"] > 0.4
    assert found[name, "ridge_regression"].scores.test["r2"] > 0.3
    assert abs(found[name, "majority"].scores.test["r2"]) < 0.2
    assert found[name, "majority"].flags.collapsed
    assert not found[name, "full_finetuning"].flags.collapsed
    assert not found[name, "scratch"].flags.underfit


def test_the_mean_is_that_of_the_training_labels(done):
    ledger, found = done
    record = found["texts", "majority"]
    (value,) = set(ledger.predictions(record.id).values[:, 0].tolist())
    head = load_file(ledger.folder(record.id) / "model" / "model.safetensors")
    assert value == pytest.approx(float(head["constant"][0]))
    kept = found["texts", "full_finetuning"]
    weights = load_file(ledger.folder(kept.id) / "model" / "model.safetensors")
    assert float(weights["head.means"][0]) == pytest.approx(value)  # of the 50, not of all 60
    assert float(weights["head.scales"][0]) > 100


def test_a_kept_model_tells_numbers_again(done, capsys, tmp_path):
    ledger, found = done
    record = found["texts", "ridge_regression"]
    rows = (ledger.root.parent / "t.jsonl").read_text()
    (tmp_path / "new.jsonl").write_text(rows)
    with pytest.raises(SystemExit) as left:
        main(["predict", record.id, str(tmp_path / "new.jsonl"), "--results", str(ledger.root)])
    assert left.value.code == 0
    told = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert list(told[0]) == ["file", "row", "text", "y"]
    labels = [json.loads(row)["y"] for row in rows.splitlines()]
    values = [float(row["y"]) for row in told]
    assert np.corrcoef(values, labels)[0, 1] > 0.5
    again = sorted(ledger.predictions(record.id).values[:, 0].tolist())
    assert all(min(abs(value - v) for v in values) < 1e-2 for value in again)


@pytest.mark.parametrize(
    ("strategy", "why"),
    [
        (Distillation(FullFinetuning()), "distillation learns classes, and text_table holds num"),
        (DomainAdversarial(), "tiny_text has classes, text_table has numbers"),
    ],
)
def test_strategies_of_classes_are_left_out_with_the_reason(tmp_path, strategy, why):
    with pytest.raises(BadInputError, match=why):
        planned(TinyTextSource(), strategy, texts(tmp_path))


def test_a_source_with_numbers_of_its_own_is_adapted_without_target_labels(tmp_path):
    """Scales come from the source's labels where the target has none to learn from."""
    (tmp_path / "source").mkdir()
    target, domain = texts(tmp_path), texts(tmp_path / "source")
    source = TinyTextSource(domain=domain)
    (cell,) = planned(source, SourceOnly(), target, labels=0).cells
    ledger = Ledger(tmp_path / "results")
    record = run_cell(cell, ledger, CPU)
    assert record.data.train == 0
    assert record.scores.test["r2"] > 0.5
