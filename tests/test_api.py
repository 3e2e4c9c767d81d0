"""From Python without Hydra: the same cells as from the command line."""

import json

import pytest

from curve_records import study
from transfergrid import api
from transfergrid.data.digits import Digits
from transfergrid.data.glyphs import Glyphs
from transfergrid.data.noise import Noise
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.training import Training
from transfergrid.sources.timm import TimmArchitecture
from transfergrid.sources.trained_here import TrainedHere
from transfergrid.strategies.adaptation.domain_adversarial import DomainAdversarial
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.verbs.cli import main

SHORT = Training(steps=3, validations=1)


def small_source(characters="0123456789"):
    network = TimmArchitecture("test_resnet", size=16, options={"in_chans": 1})
    domain = Glyphs(characters=characters, per_class=5, test_per_class=2)
    return TrainedHere(network, domain=domain, training=SHORT)


def test_run_brings_the_baseline_and_is_not_run_twice(tmp_path):
    asked = {"labels": 2, "seed": 1, "training": SHORT, "results": tmp_path}
    first = api.run(small_source(), FeatureExtraction(), Digits(), **asked)
    again = api.run(small_source(), FeatureExtraction(), Digits(), **asked)
    assert again == first
    assert first.baseline.name == "scratch"
    assert Ledger(tmp_path).done([first.baseline.id]) == {first.baseline.id}
    (row,) = [row for row in api.table(tmp_path) if row.gain is not None]
    baseline = Ledger(tmp_path).read(first.baseline.id)
    assert row.gain == pytest.approx(100 * (first.score - baseline.score))


def test_impossible_cell_says_why(tmp_path):
    with pytest.raises(BadInputError, match="same classes"):
        api.run(small_source("ABC"), DomainAdversarial(), Digits(), results=tmp_path)
    assert not list(tmp_path.iterdir())


def test_python_warns_before_the_first_cell(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr("transfergrid.runs.cell.run_cell", lambda cell, *_: ran.append(cell))
    target = Noise(n_classes=2, size=8, per_class=3, test_per_class=2)
    with (
        pytest.warns(UserWarning, match="labels=4 is more than any class has") as told,
        pytest.raises(BadInputError, match="no results of cell"),  # for nothing was run
    ):
        api.run(small_source(), FeatureExtraction(), target, labels=4, results=tmp_path)
    assert len(told) == 1
    assert len(ran) == 2


@pytest.fixture
def judged(tmp_path):
    """An arm over scratch with two label budgets."""
    ledger, (records, kept) = Ledger(tmp_path), study()
    for record in records:
        ledger.write(record, kept[record.id])
    return ledger


@pytest.mark.parametrize("show", ["verdicts", "flips", "classes", "beside"])
def test_verdict_rows_are_those_of_the_command(judged, show, capsys):
    rows = api.verdict_rows(judged.root, show=show)
    with pytest.raises(SystemExit):
        main(["verdicts", str(judged.root), "--show", show, "--format", "json"])
    assert rows == json.loads(capsys.readouterr().out)
    assert [look["by"] for look in judged.documents("looks")] == ["api"]


def test_leaderboard_rows_are_those_of_the_command(judged, capsys):
    rows = api.leaderboard_rows(judged.root)
    with pytest.raises(SystemExit):
        main(["table", str(judged.root), "--leaderboard", "--format", "json"])
    typed = json.loads(capsys.readouterr().out)
    assert [row["mean_rank"] for row in rows] == [row["mean_rank"] for row in typed]
    assert {row["strategy"] for row in rows} >= {"scratch"}


def test_verdict_rows_hold_the_verdicts(judged):
    verdicts, rows = api.verdicts(judged.root), api.verdict_rows(judged.root)
    assert [row["gain"] for row in rows] == [verdict.gain for verdict in verdicts]
    (one,) = api.verdict_rows(judged.root, where="labels=20")
    assert one in rows


def test_views_that_there_are_not_are_refused(judged):
    with pytest.raises(BadInputError, match="classes"):
        api.verdict_rows(judged.root, show="class")
    with pytest.raises(BadInputError, match="groups"):
        api.verdict_rows(judged.root, show="groups")


def test_curve_starts_with_the_gain_of_the_fewest_labels(judged):
    (curve,), without = api.curves(judged.root)
    fewest, _ = api.verdicts(judged.root)
    assert without == []
    assert curve.measures.jumpstart.value == pytest.approx(fewest.gain)
    nothing, (arm,) = api.curves(judged.root, where="labels=2")
    assert nothing == []
    assert arm.reason
