"""Scores on disk: found again by content, joined with cells by their parts."""

import dataclasses
import subprocess
import sys

import pytest

from transfergrid.records.factory import config_of
from transfergrid.records.identity import identity_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.ledgers.scores import read, read_all
from transfergrid.runs.machine import Machine
from transfergrid.runs.planning.plan import Option
from transfergrid.runs.scores.computing import compute
from transfergrid.runs.scores.features import FeaturePasses
from transfergrid.runs.scores.knn import Knn
from transfergrid.runs.scores.leep import Leep
from transfergrid.runs.scores.logme import LogMe
from transfergrid.runs.scores.pairs import Pair, missing
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.tiny import TinyDomain, TinySource


def option(name, component):
    return Option(name, config_of(component))


def pair(labels=5, seed=0, **domain):
    return Pair(
        Option("tiny", config_of(TinySource())),
        Option("shapes", config_of(TinyDomain(**domain))),
        labels,
        seed,
    )


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path)


@pytest.fixture
def passes(ledger):
    return FeaturePasses(ledger.root, Machine(accelerator="cpu"))


def test_what_is_written_is_what_is_read(ledger, passes):
    scores = [option("knn", Knn()), option("leep", Leep())]
    kept = compute(pair(), scores, ledger, passes)
    assert read(ledger, pair().id) == kept
    assert read_all(ledger) == [kept]
    assert missing(pair(), kept, scores) == []
    assert kept.value("knn").value > 1 / 3
    assert not list((ledger.root / "tmp").iterdir())


def test_only_what_is_missing_or_configured_otherwise_is_computed(ledger, passes):
    kept = compute(pair(), [option("knn", Knn())], ledger, passes)
    other = option("knn(k=1)", Knn(k=1))
    assert missing(pair(), kept, [option("knn", Knn()), other]) == [other]
    both = compute(pair(), [other, option("logme", LogMe())], ledger, passes)
    assert set(both.names.values()) == {"knn", "knn(k=1)", "logme"}
    assert both.value("knn") == kept.value("knn")


def test_an_undefined_score_is_kept_with_its_reason(ledger, passes):
    compute(pair(labels=0), [option("knn", Knn())], ledger, passes)
    (kept,) = read_all(ledger)
    assert kept.value("knn").value is None
    assert kept.value("knn").reason == "there are no target labels"


def test_a_broken_or_missing_file_is_as_if_nothing_was_kept(ledger):
    (ledger.root / "scores").mkdir()
    (ledger.root / "scores" / "ab.json").write_text("{}")
    (ledger.root / "scores" / "cd.json").write_text("no json")
    assert read_all(ledger) == []


def test_identity_is_of_everything_that_moves_a_score():
    ids = {p.id for p in (pair(), pair(labels=6), pair(seed=1), pair(shift=0.1))}
    renamed = dataclasses.replace(pair(), source=Option("other name", config_of(TinySource())))
    other = dataclasses.replace(pair(), source=Option("tiny", config_of(TinySource(domain=None))))
    assert len(ids) == 4
    assert renamed.id == pair().id
    assert other.id != pair().id


@pytest.mark.parametrize("strategy", [FullFinetuning(), SourceAndTarget(), SourceOnly()])
def test_source_parts_are_those_in_the_records_of_cells(strategy):
    plain = {
        "source": config_of(TinySource()),
        "target": config_of(TinyDomain()),
        "strategy": config_of(strategy),
        "training": None,
        "labels": 5,
        "seed": 0,
    }
    parts, _ = identity_of(plain, strategy.needs)
    assert parts.source in pair().source_parts
    assert parts.target == pair().target.digest


def test_reading_kept_scores_imports_neither_torch_nor_hydra_nor_scikit_learn():
    code = (
        "import sys, transfergrid.evidence.chosen.scorecard, transfergrid.records.ledgers.scores, "
        "transfergrid.evidence.chosen.ranking, transfergrid.report.planning.ranking_table; "
        "print({'torch', 'hydra', 'sklearn', 'wandb', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
