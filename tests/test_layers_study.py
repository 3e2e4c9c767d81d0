"""The study of cuts, small: the ends of its curves are what they must be, and it is drawn."""

import csv
import runpy
import sys
from pathlib import Path

import pytest
import yaml

from composed import planned
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.shipped import conf_dir
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine

ROOT = Path(__file__).parents[1]
SMALL = {"source": "glyph_digits", "strategy.cut": "2,5", "labels": 5, "seed": 0}
QUICK = ["source.training.steps=9", "training.steps=9", "target=digits", "strategy.lr_factor=3.0"]
PLAIN = ["strategy=feature_extraction,full_finetuning", "source=glyph_digits", "labels=5", "seed=0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return where the study lies with one source and two cuts, and the ends of its curves."""
    place = tmp_path_factory.mktemp("layers")
    ledger, machine = Ledger(place / "results"), Machine("cpu", threads=1, diagnostics="none")
    told = yaml.safe_load((conf_dir() / "study" / "layers.yaml").read_text(encoding="utf-8"))
    asked = {**told["hydra"]["sweeper"]["params"], **SMALL}
    for words in ([f"{key}={value}" for key, value in asked.items()], PLAIN):
        for cell in planned(*words, *QUICK).cells:
            if not ledger.done([cell.id]):
                run_cell(cell, ledger, machine)
    return place


def cells(folder, strategy, **options):
    """Return the records of an arm."""
    found = Ledger(folder / "results").records()
    return [
        record
        for record in found
        if record.names.strategy.startswith(strategy)
        and options.items() <= record.config["strategy"].items()
    ]


@pytest.mark.parametrize(
    ("kept", "whole"), [("frozen", "feature_extraction"), ("tuned", "full_finetuning")]
)
def test_with_all_blocks_it_is_what_there_was(folder, kept, whole):
    (cut,) = cells(folder, "network_surgery", cut=5, kept=kept)
    (plain,) = cells(folder, whole)
    assert cut.scores == plain.scores


def test_its_own_blocks_need_no_source_and_cost_a_training_more(folder):
    found = cells(folder, "self_transfer")
    assert len(found) == 2 * 2
    assert {(r.budget.steps, r.budget.teacher_steps) for r in found} == {(9, 9)}
    assert {record.names.source for record in found} == {None}


def test_the_curve_is_drawn_with_a_verdict_at_each_cut(folder, monkeypatch):
    script = str(ROOT / "experiments" / "layers" / "layers.py")
    monkeypatch.setattr(sys, "argv", [script, str(folder / "results"), "--into", str(folder)])
    runpy.run_path(script, run_name="__main__")
    assert (folder / "layers.svg").stat().st_size > 5_000
    rows = list(csv.DictReader((folder / "layers.csv").open(encoding="utf-8")))
    told = {(row["arm"], row["over"], row["k"]) for row in rows}
    own = {("AnB", "BnB"), ("AnB+", "BnB+")}
    over = {*own, *((arm, "scratch") for pair in own for arm in pair)}
    assert told == {(*pair, k) for pair in over for k in ("2", "5")}
    gains = {(row["arm"], row["over"], row["k"]): float(row["gain"]) for row in rows}
    for arm, base in own:
        difference = gains[arm, "scratch", "5"] - gains[base, "scratch", "5"]
        assert gains[arm, base, "5"] == pytest.approx(difference, abs=0.05)
