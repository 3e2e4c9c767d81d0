"""The verb calibrate: what it takes, what it says, where it draws."""

import csv
import io
import json

import numpy as np
import pytest

from ledger_factory import made, predicted
from transfergrid.evidence.calibration.rules import OURS
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.verbs.calibrating import command

FEW = ["--simulations", "40", "--items", "60"]


def test_the_table_fits_80_columns_and_says_what_it_means(capsys):
    assert command([*FEW, "--seeds", "5,3", "--family", "12"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    words = " ".join(shown.split())
    assert "With 5 seeds and 60 test items, in a family of 12, it finds a true gain" in words
    assert "59 % with 5" in words  # .9^5: no collapse seen
    assert "The verdict errs in no more than the 5 % that it may" in words


def test_it_says_where_the_verdict_errs_too_often(capsys):
    """Rare bad seeds as nearly all the noise: 12 % at five seeds in `experiments/calibration`."""
    noise = ["--items", "1000", "--sd", "4", "--simulations", "400"]
    command([*noise, "--seeds", "5", "--scenario", "normal,skew", "--gain", "0"])
    words = " ".join(capsys.readouterr().out.split())
    assert "The verdict errs in more than the 5 % that it may: " in words
    assert "% (skew, 5 seeds)." in words
    assert "(normal, 5 seeds)" not in words


def test_without_a_planted_zero_there_is_no_empty_table(capsys):
    command([*FEW, "--seeds", "3", "--scenario", "normal", "--gain", "2"])
    shown = capsys.readouterr().out
    assert "True gains of an arm" in shown
    assert "no gain" not in shown


def test_json_and_csv_hold_the_same_rates(capsys):
    arguments = [*FEW, "--seeds", "3", "--scenario", "normal, skew", "--gain", "0,2"]
    command([*arguments, "--format", "json"])
    rows = json.loads(capsys.readouterr().out)
    command([*arguments, "--format", "csv"])
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["rule"] for row in rows] == [row["rule"] for row in table]
    assert {row["scenario"] for row in rows} == {"normal", "skew"}
    assert {row["gain"] for row in rows} == {0, 1, 2}  # the margin added
    assert float(table[0]["false"]) == pytest.approx(rows[0]["false"], abs=1e-5)


def test_markdown_is_a_table(capsys):
    command([*FEW, "--format", "markdown", "--scenario", "normal"])
    shown = capsys.readouterr().out
    assert f"| {OURS} |" in shown
    widths = {line.count("|") for line in shown.splitlines() if line.startswith(f"| {OURS}")}
    assert widths == {5, 11}  # three numbers of seeds; three gains of them


def test_noise_is_learned_from_a_ledger_and_options_win(tmp_path, capsys):
    rng, ledger = np.random.default_rng(0), Ledger(tmp_path / "results")
    for seed in range(4):
        said = [predicted(rng.random(90) < level) for level in (0.7, 0.8)]
        base = made(seed=seed, score=float(said[0].correct().mean()))
        arm = made("full_finetuning", "photos", 20, seed, float(said[1].correct().mean()), base)
        ledger.write(base, said[0])
        ledger.write(arm, said[1])
    command([str(ledger.root), "--simulations", "20", "--format", "json", "--family", "2"])
    printed = capsys.readouterr()
    rates = json.loads(printed.out)
    assert {rate["items"] for rate in rates} == {90}
    assert {rate["seeds"] for rate in rates} == {3, 4, 5, 10}
    assert {rate["family"] for rate in rates} == {2}
    assert "1 arms" not in printed.err
    assert "medians of 4 seeds" in printed.err
    with pytest.raises(BadInputError):
        command([str(ledger.root), "--where", "target=moon"])


@pytest.mark.parametrize("ending", [".svg", ".png", ".html"])
def test_it_draws(tmp_path, ending, capsys):
    place = tmp_path / f"figure{ending}"
    command([*FEW, "--seeds", "3", "--scenario", "normal", "--plot", str(place)])
    drawn = place.read_bytes()
    assert len(drawn) > 2_000
    if ending != ".png":
        assert b"False verdicts: normal" in drawn


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seeds", "three"],
        ["--seeds", "1"],
        ["--scenario", "norml"],
        ["--format", "pdf"],
        ["--plot", "figure.pdf"],
        ["--accuracy", "120"],
        ["--margin", "0"],
        ["--gain", "90"],
        ["--gain", "nan"],
        ["--items", "100000000"],
        ["--random-seed", "-1"],
        ["--plot", "no_such_folder/figure.svg"],
        ["--where", "target=digits"],
        ["nowhere"],
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError) as refused:
        command([*FEW, *arguments])
    assert "\n" not in str(refused.value)
