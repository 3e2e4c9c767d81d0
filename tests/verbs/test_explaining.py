"""The verb `explain`: what it prints of a cell, in 80 columns and as JSON."""

import json
from dataclasses import replace

import pytest

from ledger_factory import made, predicted
from transfergrid.records.findings import Diagnostics, Head
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Data, Scores
from transfergrid.verbs.cli import main


def scores(train, test):
    return Scores(train={"accuracy": train}, test={"accuracy": test})


@pytest.fixture
def results(tmp_path):
    """Three seeds of a fine-tuning below scratch; what overfits in two, has a bad head in one."""
    ledger = Ledger(tmp_path / "results")
    for seed, test in enumerate((0.6, 0.65, 0.9)):
        data = Data(classes=("a", "b"), test=100)
        base = made(seed=seed, scores=scores(1.0, 0.9), data=data)
        cell = made("full_finetuning", "printed", seed=seed, baseline=base, data=data)
        cell = replace(cell, scores=scores(1.0, test))
        if seed == 0:
            bad = Head(on="validation", n=40, trained=0.5, refitted=0.9)
            cell = replace(cell, diagnostics=Diagnostics(head=bad))
        other = made("feature_extraction", "printed", seed=seed, scores=scores(0.9, 0.87))
        for record in (base, cell, other):
            right = [i < 100 * record.score for i in range(100)]
            ledger.write(record, predicted(right))
    return ledger.root


@pytest.fixture
def first():
    return made("full_finetuning", "printed", seed=0).id


def told(capsys, *words):
    with pytest.raises(SystemExit) as left:
        main(["explain", *map(str, words)])
    return left.value.code, capsys.readouterr()


def test_the_cause_its_evidence_and_what_to_try(capsys, results, first):
    code, out = told(capsys, first[:6], "--results", results)
    assert code == 0
    lines = out.out.splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(out.out.split())
    assert text.startswith(f"{first} printed x full_finetuning x digits, labels=20, seed=0")
    assert "-30.0 points over scratch (90.0 %) in this seed, 95 % interval" in text
    assert "Most likely: head (strength 1.00, in 1 of 3 seeds)" in text
    assert "trained head reaches 50.0 %, one refitted in closed form" in text
    assert "Also: overfitting (strength 0.60, in 2 of 3 seeds)" in text
    tried = made("feature_extraction", "printed", seed=0).id
    assert f"done in this block, cell {tried[:8]}: 87.0 %" in text
    assert "BatchNorm statistics" in text.partition("Not judged:")[2]


def test_an_older_cell_says_that_it_has_no_diagnostics(capsys, results):
    identity = made("full_finetuning", "printed", seed=1).id
    _, out = told(capsys, identity, "--results", results)
    assert out.out.count("No diagnostics") == 1
    assert "overfitting" in out.out


def test_nothing_stands_out_of_a_cell_as_good_as_its_baseline(capsys, results):
    identity = made("full_finetuning", "printed", seed=2).id
    _, out = told(capsys, identity, "--results", results)
    assert "Nothing stands out." in out.out


def test_a_baseline_is_explained_without_a_gain(capsys, results):
    _, out = told(capsys, made(seed=0).id, "--results", results)
    assert "it is compared with nothing" in out.out


def test_json_holds_all_causes(capsys, results, first):
    code, out = told(capsys, first, "--results", results, "--format", "json")
    values = json.loads(out.out)
    assert code == 0
    assert values["cell"] == first
    assert values["gain"] == pytest.approx(-30)
    assert values["low"] < -30 < values["high"]
    strengths = [cause["strength"] for cause in values["causes"]]
    assert strengths == sorted(strengths, reverse=True)
    assert values["causes"][0]["remedy"]["strategy"] == "full_finetuning"
    assert (values["causes"][0]["seeds"], values["causes"][0]["of_seeds"]) == (1, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["zzzz"], "is no cell's id"),
        (["0000000000000000"], "no done cell begins"),
        ([], "required: cell"),
        (["{first}", "--format", "yaml"], "unknown format 'yaml'"),
    ],
)
def test_bad_input_is_one_line(capsys, results, first, words, message):
    words = [word.format(first=first) for word in words]
    code, out = told(capsys, *words, "--results", results)
    assert code == 2
    assert message in out.err
    assert out.err.count("\n") == 1


def test_what_the_method_found_is_shown(capsys, tmp_path):
    ledger = Ledger(tmp_path / "results")
    found = {"importance": {"head": 1.0, "network.conv1": 0.31415}, "chosen_by_labels": True}
    cell = replace(made("auto_rgn", "printed", data=Data(classes=("a",), test=10)), told=found)
    ledger.write(cell, predicted([True] * 10))
    _, out = told(capsys, cell.id, "--results", ledger.root)
    lines = out.out.splitlines()
    place = lines.index("What the method found:")
    assert lines[place + 1 : place + 3] == [
        "  importance: head 1, network.conv1 0.314",
        "  chosen by labels yes",
    ]
    _, out = told(capsys, cell.id, "--results", ledger.root, "--format", "json")
    assert json.loads(out.out)["told"] == found
