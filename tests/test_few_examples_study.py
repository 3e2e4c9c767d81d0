"""The study of a few examples, small: transfer and learning to learn on the same episodes."""

import pytest

from composed import planned
from transfergrid import api
from transfergrid.evidence.statistics.intervals import SEEDS_AND_GROUPS
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine

WORDS = (
    *("source=glyph_letters", "source.domain.only=[A,B,C,D,E,F,G,H,I,J,K,L,M]"),
    *("source.seed=block", "source.training.steps=80", "target=episodes"),
    *("target.domain.only=[N,O,P,Q,R,S,T,U,V,W,X,Y,Z]", "target.episodes=12", "target.queries=4"),
    *("training.steps=10", "labels=1", "seed=range(2)"),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    place = tmp_path_factory.mktemp("few_examples") / "results"
    ledger, machine = Ledger(place), Machine("cpu", threads=1, diagnostics="none")
    for cell in planned(*WORDS, "strategy=prototypes,prototypical_networks").cells:
        run_cell(cell, ledger, machine)
    return {verdict.strategy: verdict for verdict in api.verdicts(place)}


def test_what_was_learned_of_other_letters_helps_from_one_example_on(found):
    assert found["prototypes"].gain > 5
    assert found["prototypes"].low > 0


def test_learning_over_episodes_stands_in_the_same_table_over_the_same_baseline(found):
    both = [found[name] for name in ("prototypes", "prototypical_networks")]
    assert len({(v.baseline, v.scope, v.target, v.labels, v.n) for v in both}) == 1
    assert both[0].scope == SEEDS_AND_GROUPS
