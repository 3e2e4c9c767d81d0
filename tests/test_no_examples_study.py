"""The study of classes without examples, small: attributes tell letters, seen ones take all."""

import runpy
from pathlib import Path

import pytest

from composed import planned
from transfergrid import api
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine
from transfergrid.runs.planning import forewarnings

ROOT = Path(__file__).parents[1]
STUDY = runpy.run_path(str(ROOT / "experiments" / "no_examples" / "scores.py"))
SEEN, UNSEEN = "[A,B,C,D,E,F,G,H,I,J,K,L,M]", "[N,O,P,Q,R,S,T,U,V,W,X,Y,Z]"
SOURCE = (f"source.domain.only={SEEN}", "source.seed=block", "source.training.steps=120")
QUICK = ("source=glyph_letters", *SOURCE, "strategy=eszsl", "labels=0", "seed=range(2)")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("no_examples") / "results"
    ledger, machine = Ledger(place), Machine("cpu", threads=1, diagnostics="none")
    for words in ((f"target.only={UNSEEN}",), ()):
        for cell in planned(*QUICK, "target=glyph_letters", *words).cells:
            run_cell(cell, ledger, machine)
    return place


def test_unseen_letters_are_told_by_their_attributes(done):
    (alone,) = (verdict for verdict in api.verdicts(done) if "only" in verdict.target)
    assert alone.baseline == "majority"
    assert alone.gain > 5
    scores = [r.score for r in Ledger(done).records() if "only" in r.names.target and r.source]
    assert len(scores) == 2
    assert min(scores) > 1.5 / 13


def test_among_seen_letters_unseen_ones_are_found_no_oftener_than_alone(done):
    found = [record for record in Ledger(done).records() if record.source]
    alone = {r.seed: r.scores.by_class for r in found if "only" in r.names.target}
    for record in (r for r in found if "only" not in r.names.target):
        assert "".join(record.data.seen) == "ABCDEFGHIJKLM"
        among, test = record.scores.by_class, record.scores.test
        assert all(among[name] <= share for name, share in alone[record.seed].items())
        assert (
            min(test["seen"], test["unseen"])
            <= test["harmonic"]
            <= max(test["seen"], test["unseen"])
        )
    rows = {row["target"]: row for row in STUDY["rows"](found)}
    both = rows.pop("glyph_letters")
    assert all(both[name] for name in ("seen", "unseen", "harmonic"))
    (row,) = rows.values()
    assert (row["seen"], row["harmonic"], row["n"]) == ("", "", "2")


def test_a_plan_of_the_study_tells_what_is_seen():
    told = forewarnings.lines(planned(*QUICK, "target=glyph_letters").cells)
    assert any("13 classes with examples in the source and 13 without" in line for line in told)
