"""An exported model: what is in its folder, what its card says, what is refused."""

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from kept_cells import CPU, cell, made
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Chosen, Path, Trial, Tuning
from transfergrid.report.exports.model_card import model_card, wilson
from transfergrid.runs.cell import run_cell
from transfergrid.verbs.cli import main
from transfergrid.verbs.exporting import export
from transfergrid.verbs.finding import find_cell


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    ledger, records = made(
        tmp_path_factory.mktemp("kept"), "full_finetuning", "logistic_regression"
    )
    scratch = run_cell(cell("scratch"), ledger, CPU)
    return ledger, records | {"scratch": scratch}


def exported(ledger, record, folder):
    export(ledger, record.id, folder)
    return json.loads((folder / "config.json").read_text())


def test_what_is_in_the_folder(kept, tmp_path):
    ledger, records = kept
    config = exported(ledger, records["full_finetuning"], tmp_path / "new" / "model")
    names = {path.name for path in (tmp_path / "new" / "model").iterdir()}
    assert names == {"model.safetensors", "config.json", "classes.json", "README.md"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model"], "no draft is left"
    assert json.loads((tmp_path / "new/model/classes.json").read_text()) == list("0123456789")
    assert config["cell"] == records["full_finetuning"].id
    assert config["architecture"]["model"] == "test_resnet"
    assert config["training"]["steps"] == 4
    assert config["inputs"] == {"modality": "image"}
    assert "about" not in json.dumps(config)
    assert "Glyphs" not in json.dumps(config), "the source's domain is not needed"


def test_a_closed_form_brings_what_its_features_were_fitted_to(kept, tmp_path):
    ledger, records = kept
    config = exported(ledger, records["logistic_regression"], tmp_path / "model")
    assert config["architecture"] is None
    assert json.loads((tmp_path / "model" / "features.json").read_text())["kept"] == {
        "side": 8,
        "channels": 1,
    }


def test_a_folder_with_something_in_it_is_left_alone(kept, tmp_path):
    ledger, records = kept
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(BadInputError, match="is not empty"):
        export(ledger, records["full_finetuning"].id, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    export(ledger, records["full_finetuning"].id, tmp_path, force=True)
    assert (tmp_path / "mine.txt").read_text() == "x", "what is not the model's stays"
    export(ledger, records["logistic_regression"].id, tmp_path, force=True)
    assert json.loads((tmp_path / "config.json").read_text())["architecture"] is None
    with pytest.raises(BadInputError, match="is a file"):
        export(ledger, records["full_finetuning"].id, tmp_path / "mine.txt", force=True)


# The card ---------------------------------------------------------------------------------------


def test_the_interval_of_a_share_is_wilsons():
    """Values of Newcombe (1998), table I, method 3."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15 / 148, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1.0, 20)[1] == 1.0


def test_the_card_tells_the_cells_numbers(kept):
    ledger, records = kept
    record, scratch = records["full_finetuning"], records["scratch"]
    card = model_card(ledger, record)
    low, high = wilson(record.score, 797)
    assert (
        f"**{100 * record.score:.1f} %** (95 % interval [{100 * low:.1f}, {100 * high:.1f}]" in card
    )
    assert "on 797 examples" in card
    gain = 100 * (record.score - scratch.score)
    assert f"scratch, {100 * scratch.score:.1f} %" in card
    assert f"The gain of this one seed is {gain:+.1f} points, which is no verdict" in card
    assert "20 a class" in card
    assert "160 to learn from, 40 to choose by" in card
    assert record.source["fingerprint"] in card
    assert "licence of the weights: not known to transfergrid" in card
    assert "transfergrid predict . photo.jpg" in card
    assert "negative transfer" not in card.lower()


def test_the_card_tells_what_was_chosen_after_training_and_of_which_trials_it_is(kept):
    ledger, records = kept
    (record, *_) = records.values()
    few = Path(name="alpha", values=(0.0, 0.5, 1.0), validation=(), chosen=0.5)
    many = replace(few, name="k", validation=(0.1, 0.2, 0.3), chosen=1.0)
    trials = tuple(Trial(values={"lr_factor": 1.0}, score=0.5) for _ in range(4))
    record = replace(
        record,
        chosen=Chosen(step=1, by="validation", paths=(few, many)),
        tuning=Tuning(trials=trials, chosen=0, members=(0, 3)),
    )
    card = re.sub(" +", " ", model_card(ledger, record))
    assert "| alpha | 0.5 |" in card
    assert "| k | 1, the best of 3 by validation |" in card
    assert "| mean of the weights of | 2 of 4 trials |" in card


def test_without_a_baseline_the_card_compares_with_nothing(kept):
    ledger, records = kept
    assert "compared with no baseline" in model_card(ledger, records["logistic_regression"])
    assert "No source" in model_card(ledger, records["logistic_regression"])


def test_several_seeds_are_told_with_their_interval(kept, tmp_path):
    ledger = Ledger(tmp_path)
    for seed in (0, 1):
        for strategy in ("scratch", "full_finetuning"):
            record = run_cell(cell(strategy, f"seed={seed}"), ledger, CPU)
    card = model_card(ledger, record)
    assert "Over the 2 seeds in the ledger this way of adapting gains" in card
    gains = [
        100 * (a.score - ledger.read(a.baseline.id).score)
        for a in ledger.records()
        if a.baseline is not None
    ]
    assert f"gains {np.mean(gains):+.1f} points (95 % [" in card


# Bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("export {kept} -o full", "full is not empty"),
        ("export {bare} -o new", "transfergrid reproduce {bare8} --keep"),
        ("export {near}", "did you mean {kept8}"),
        ("export zzzz", "'zzzz' is no cell's id"),
        ("export abc", "first 4 or more"),
        ("export {kept} --results nowhere", "no results in 'nowhere'"),
        ("export", "required: cell"),
        ("exprot {kept}", "did you mean export?"),
        ("export {kept} --forse", "unrecognized arguments: --forse"),
    ],
)
def test_one_line_each(kept, tmp_path, monkeypatch, capsys, words, told):
    ledger, records = kept
    one, bare = records["full_finetuning"].id, records["scratch"].id
    near = one[:6] + ("0" if one[6] != "0" else "1")
    names = {"kept": one, "bare": bare, "near": near, "kept8": one[:8], "bare8": bare[:8]}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "results").symlink_to(ledger.root)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(SystemExit) as left:
        main(words.format(**names).split())
    shown = capsys.readouterr()
    assert (left.value.code, shown.out) == (2, "")
    (line,) = shown.err.splitlines()
    assert told.format(**names) in line
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full", "results"]


def test_the_beginning_of_an_identity(tmp_path):
    ledger = Ledger(tmp_path)
    for name in ("abcd000000000000", "abcd100000000000", "ffff000000000000"):
        (tmp_path / "cells" / name[:2] / name).mkdir(parents=True)
    (tmp_path / "attempts" / "1234000000000000" / "1").mkdir(parents=True)
    assert find_cell(ledger, "FFFF") == "ffff000000000000"
    assert find_cell(ledger, "abcd1") == "abcd100000000000"
    with pytest.raises(BadInputError, match="2 cells begin with abcd: abcd0000, abcd1000; type"):
        find_cell(ledger, "abcd")
    with pytest.raises(BadInputError, match="12340000 failed"):
        find_cell(ledger, "1234")
    with pytest.raises(BadInputError, match="did you mean ffff0000"):
        find_cell(ledger, "fff0")
