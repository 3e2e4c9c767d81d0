"""The study of planted ratings, small: what is shared helps, and what is not is found to hurt."""

import pytest
from hydra.types import RunMode

from composed import loader, planned
from transfergrid.evidence.measured.results import results_from
from transfergrid.evidence.verdicts.decisions import Kind, Rules
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.report.wording.words import budget
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine

SMALL = ("users=60", "n_items=40")
STRANGERS = "planted_ratings(domain.shared=false)"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return the verdicts on smaller matrices, by whether the source's users are strangers."""
    ledger = Ledger(tmp_path_factory.mktemp("ratings") / "results")
    words = [f"target.{word}" for word in SMALL] + [f"source.domain.{word}" for word in SMALL]
    asked = (
        *("target=planted_ratings", "target.density=0.5", *words, "labels=all", "seed=range(4)"),
        *(f"source=planted_ratings,'{STRANGERS}'", "strategy=collective_factorization"),
    )
    machine = Machine("cpu", threads=1, diagnostics="none")
    for cell in planned(*asked).cells:
        run_cell(cell, ledger, machine)
    verdicts = judge(results_from(ledger.records()), Rules(), read=ledger.predictions)
    return {STRANGERS.partition("(")[2][:-1] in v.source: v for v in verdicts if v.source}


def test_shared_factors_help_and_strangers_hurt(found):
    helped, hurt = found[False], found[True]
    assert helped.verdict is Kind.POSITIVE
    assert hurt.verdict is Kind.NEGATIVE
    assert helped.mean < helped.baseline_mean, "less of an error is better, and a gain is better"
    assert helped.baseline == "matrix_factorization"
    assert helped.metric == "rmse"
    assert helped.labels_are == "total"
    assert budget(600, helped.labels_are) == "600 labels in total"


def test_the_study_asks_for_both_sources():
    config = loader().load_configuration("config", ["study=ratings"], run_mode=RunMode.RUN)
    params = config.hydra.sweeper.params
    assert "domain.shared=false" in params.source
    assert "collective_factorization" in params.strategy
