"""The study of classes without examples, small: attributes tell letters, seen ones take all."""

import runpy
from pathlib import Path

import pytest

from composed import planned
from transfergrid import api
from transfergrid.records.ledger import Ledger
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine
from transfergrid.runs.planning import forewarnings

ROOT = Path(__file__).parents[1]
STUDY = runpy.run_path(str(ROOT / "experiments" / "no_examples" / "scores.py"))
SEEN, UNSEEN = "[A,B,C,D,E,F,G,H,I,J,K,L,M]", "[N,O,P,Q,R,S,T,U,V,W,X,Y,Z]"
SOURCE = (f"source.domain.only={SEEN}", "source.seed=block", "source.training.steps=120")
QUICK = ("source=glyph_letters", *SOURCE, "strategy=eszsl", "labels=0", "seed=range(3)")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("no_examples") / "results"
    ledger, machine = Ledger(place), Machine("cpu", threads=1, diagnostics="none")
    for target in (f"target.only={UNSEEN}", "target.only=null"):
        for cell in planned(*QUICK, "target=glyph_letters", target).cells:
            run_cell(cell, ledger, machine)
    return place


def test_unseen_letters_are_told_by_their_attributes(done):
    alone = next(v for v in api.verdicts(done) if "only" in v.target)
    assert alone.baseline == "majority"
    assert alone.verdict == "positive"


def test_in_one_label_space_seen_letters_take_what_unseen_ones_are(done):
    rows = {row["target"]: row for row in STUDY["rows"](Ledger(done).records()) if row["source"]}
    both = rows["glyph_letters"]
    seen, unseen, harmonic = (
        float(both[name].split()[0]) for name in ("seen", "unseen", "harmonic")
    )
    assert seen > 3 * unseen
    assert min(seen, unseen) <= harmonic < (seen + unseen) / 2
    (alone,) = (row for target, row in rows.items() if target != "glyph_letters")
    assert (alone["seen"], alone["harmonic"]) == ("", "")
    assert float(alone["unseen"].split()[0]) > unseen


def test_a_plan_of_the_study_tells_what_is_seen():
    told = forewarnings.lines(planned(*QUICK, "target=glyph_letters").cells)
    assert any("13 classes with examples in the source and 13 without" in line for line in told)
