"""Cells of an earlier protocol are read, judged and shown as such, and never mixed with today's.

`protocol_1.json` holds records as the program wrote them before classes were hashed by name.
"""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ledger_factory import made
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.measured.results import results_of
from transfergrid.records import trust
from transfergrid.records.cell import PROTOCOL, Reference
from transfergrid.records.code import code_fingerprint
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import locate
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.identity import config_digest, identity_of
from transfergrid.records.ledgers import index
from transfergrid.records.ledgers.index import Indexed
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.needs import Needs
from transfergrid.records.record import from_json
from transfergrid.records.shipped import is_part, located
from transfergrid.report.html.gather import report_data
from transfergrid.runs.launching.worker import cell_in
from transfergrid.verbs import reproducing
from transfergrid.verbs.cli import main
from transfergrid.verbs.sweep import _not_taken

TEXTS = json.loads(Path(__file__).with_name("protocol_1.json").read_text())
OLD = [from_json(json.dumps(text)) for text in TEXTS]
MAJORITY, FINETUNED = OLD[0], next(r for r in OLD if r.names.strategy == "full_finetuning")


def needs_of(record):
    return Needs.read(record.config["strategy"]["about"]["needs"])


def moved(config, package="transfergrid.elsewhere"):
    """Return a config whose shipped classes lie in other files."""
    if isinstance(config, dict):
        new = {key: moved(value, package) for key, value in config.items()}
        told = str(config.get("_target_", ""))
        ours = told.startswith("transfergrid.")
        return {**new, "_target_": f"{package}.{told.rpartition('.')[2]}"} if ours else new
    return [moved(item, package) for item in config] if isinstance(config, list) else config


# Identity ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", OLD, ids=lambda record: record.id)
def test_an_old_identity_is_made_anew_from_its_record(record):
    assert record.protocol == 1
    assert identity_of(record.config, needs_of(record), 1) == (record.parts, record.id)


@pytest.mark.parametrize("record", OLD, ids=lambda record: record.id)
def test_moving_classes_moves_no_identity_of_today(record):
    needs = needs_of(record)
    assert identity_of(moved(record.config), needs) == identity_of(record.config, needs)
    assert identity_of(moved(record.config), needs, 1) != identity_of(record.config, needs, 1)


def test_no_part_has_the_same_digest_under_two_protocols():
    own = {"_target_": "mine.Target", "about": {"version": 1}}
    for config in (own, {"size": 3}, MAJORITY.config["target"]):
        assert config_digest(config, 1) != config_digest(config, 2)


def test_ids_of_protocol_2_are_what_they_were_when_it_began():
    ids = [identity_of(record.config, needs_of(record), 2)[1] for record in (MAJORITY, FINETUNED)]
    assert ids == GOLDEN


GOLDEN = ["a3d72a70744137a2", "02edee2b552130f2"]


def test_a_class_of_the_users_is_hashed_by_its_dotted_path():
    mine, other = ({"_target_": f"{package}.Scratch"} for package in ("mine", "yours"))
    assert len({config_digest(c) for c in (mine, other, {"_target_": "scratch"})}) == 3


# Where a class lies now ---------------------------------------------------------------------------


ONCE = {
    "data": (
        "arrays.Arrays digits.Digits glyphs.Glyphs huggingface.HuggingFaceImages "
        "huggingface.HuggingFaceText image_folder.ImageFolder image_table.ImageTable "
        "noise.Noise text_table.TextTable torchvision_data.TorchvisionData"
    ),
    "scores": (
        "gbc.Gbc h_score.HScore knn.Knn leep.Leep linear_cka.LinearCka logme.LogMe nce.Nce "
        "nleep.Nleep parc.Parc proxy_a_distance.ProxyADistance transrate.TransRate"
    ),
    "sources": (
        "checkpoint.Checkpoint own_network.OwnNetwork placebo.Placebo small_cnn.SmallCNN "
        "timm.TimmArchitecture timm.TimmSource torchvision.TorchvisionArchitecture "
        "torchvision.TorchvisionSource trained_here.TrainedHere "
        "transformers.TransformersArchitecture transformers.TransformersSource "
        "transformers_vision.TransformersVisionArchitecture "
        "transformers_vision.TransformersVisionSource"
    ),
    "strategies": (
        "distillation.Distillation domain_adversarial.DomainAdversarial "
        "feature_extraction.FeatureExtraction full_finetuning.FullFinetuning "
        "layerwise_lr.LayerwiseLR logistic_regression.LogisticRegression majority.Majority "
        "scratch.Scratch scratch_converged.ScratchConverged "
        "source_and_target.SourceAndTarget source_only.SourceOnly"
    ),
    "tracking": ("NoTracker WandbTracker"),
    "training": ("Training"),
}
"""What shipped configs named before files were moved; records and own configs may."""


@pytest.mark.parametrize("once", [f"{r}.{n}" for r, names in ONCE.items() for n in names.split()])
def test_what_configs_once_named_is_still_found(once):
    told = f"transfergrid.{once}"
    assert trust.source_file(told) is not None
    assert code_fingerprint(told) == code_fingerprint(located(told)) != ""
    assert located(told).rpartition(".")[2] == told.rpartition(".")[2]


def test_a_class_that_moved_is_the_class():
    once, now = "transfergrid.training.Training", "transfergrid.records.training.Training"
    assert locate(once) is locate(now)


@pytest.mark.parametrize(
    "told",
    [
        *("evil.Scratch", "transfergridx.Scratch", "Scratch", "transfergrid", ""),
        *("transfergrid.strategies.scratch.Nothing", "transfergrid.strategies.scratch.main"),
        *("transfergrid.a.Ledger", "transfergrid.a.Record", "transfergrid.a.(Scratch)"),
        "transfergrid.strategies.baselines.scratch.Strategy",
    ],
)
def test_nothing_but_shipped_parts_is_found_by_name(told):
    assert not is_part(told)
    assert located(told) is None


# A ledger of both ---------------------------------------------------------------------------------


def said(accuracy):
    labels = np.arange(40, dtype=np.int64) % 2
    right = np.arange(40) < round(40 * accuracy)
    return Predictions(np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)], labels)


def again(record, shift):
    """Return a cell as a grid of today runs it anew, with another score."""
    parts, identity = identity_of(record.config, needs_of(record))
    scores = replace(record.scores, test={"accuracy": record.score + shift})
    baseline = record.baseline and Reference(
        name=record.baseline.name, id=TODAY[record.baseline.id]
    )
    new = replace(record, id=identity, parts=parts, protocol=PROTOCOL, scores=scores)
    return replace(new, baseline=baseline, exploratory=())


TODAY = {record.id: identity_of(record.config, needs_of(record))[1] for record in OLD}


@pytest.fixture
def old(tmp_path):
    ledger = Ledger(tmp_path / "old")
    for text, record in zip(TEXTS, OLD, strict=True):
        ledger.write(record, said(record.score))
        path = ledger.folder(record.id) / "record.json"
        path.write_text(json.dumps(text))  # as it was written then: without a word of protocol
    return ledger


@pytest.fixture
def mixed(old):
    for record in OLD:
        new = again(record, -0.05 if record.names.source else 0.0)
        old.write(new, said(new.score))
    return old


def typed(capsys, *words):
    with pytest.raises(SystemExit) as left:
        main(list(map(str, words)))
    printed = capsys.readouterr()
    assert left.value.code == 0, printed.err
    return printed.out


@pytest.mark.parametrize("indexed", [False, True])
def test_both_are_read_indexed_or_not(mixed, indexed):
    if indexed:
        mixed.compact()
    results, _ = results_of(mixed)
    assert sorted(r.protocol for r in results) == [1] * len(OLD) + [2] * len(OLD)
    assert sorted(r.protocol for r in Ledger(mixed.root).records()) == sorted(
        r.protocol for r in results
    )


def test_a_segment_of_before_holds_cells_of_protocol_1(old, monkeypatch):
    kinds = index.columns

    def of_before(row: Indexed):
        return {key: value for key, value in kinds(row).items() if key != "protocol"}

    with monkeypatch.context() as patched:
        patched.setattr(index, "columns", of_before)
        segment = old.compact()
    opened = Ledger(old.root)
    monkeypatch.setattr(Ledger, "read", lambda *_: pytest.fail("an indexed record was opened"))
    assert opened.columns(("protocol",)) == [(1,)] * len(OLD)
    assert opened.compact() is None, "it is none that lacks what it needs"
    assert segment is not None


def test_no_arm_and_no_pair_is_of_two_protocols(mixed):
    bench = bench_of(mixed)
    of = {result.id: result.protocol for result in bench.results}
    for over in (None, "placebo", "full_finetuning"):
        found = [v for v in bench.verdicts(over) if v.n]
        assert over != "placebo" or {v.protocol for v in found} == {1, 2}
        for verdict in found:
            protocols = {of[cell] for cell in (*verdict.cells, *verdict.baseline_cells)}
            assert protocols == {verdict.protocol}


def test_gains_are_those_of_a_ledger_of_one_alone(old, mixed, tmp_path):
    alone = Ledger(tmp_path / "alone")
    for record in OLD:
        alone.write(record, said(record.score))
    together = [v for v in bench_of(mixed).verdicts() if v.protocol == 1]
    for one, other in zip(bench_of(alone).verdicts(), together, strict=True):
        assert (one.gain, one.low, one.high, one.p) == (other.gain, other.low, other.high, other.p)
        assert (one.cells, one.target + "#p1") == (other.cells, other.target)


def test_targets_of_an_earlier_protocol_are_marked_where_there_is_a_later_one(old, capsys):
    targets = {row["target"] for row in csv.DictReader(io.StringIO(table(old, capsys)))}
    assert targets == {"digits"}
    for record in OLD:
        old.write(again(record, 0.0), said(record.score))
    found = list(csv.DictReader(io.StringIO(table(old, capsys))))
    assert {(row["target"], row["protocol"]) for row in found} == {
        ("digits", "2"),
        ("digits#p1", "1"),
    }
    assert {row["strategy"] for row in found} == {"full_finetuning", "domain_adversarial"}


def table(ledger, capsys):
    return typed(capsys, "verdicts", ledger.root, "--format", "csv")


LINE = f"{len(OLD)} cells of protocol 1: a grid of today runs them anew."


@pytest.mark.parametrize(
    "words",
    [
        ["verdicts"],
        ["verdicts", "--format", "markdown"],
        ["table"],
        ["table", "--leaderboard"],
        ["curves"],
    ],
)
def test_every_view_says_once_how_many_cells_are_of_protocol_1(mixed, capsys, words):
    verb, *rest = words
    text = " ".join(typed(capsys, verb, mixed.root, *rest).split())
    assert text.count(LINE) == 1


def test_a_ledger_of_today_says_nothing_of_protocols(tmp_path, capsys):
    ledger = Ledger(tmp_path)
    baseline = made()
    for record in (baseline, made("probe", "source", baseline=baseline)):
        ledger.write(record, said(record.score))
    for verb in ("verdicts", "table"):
        assert "protocol" not in typed(capsys, verb, tmp_path)


def test_the_report_says_so(mixed):
    assert report_data(bench_of(mixed)).declaration.count(LINE) == 1


def test_explain_says_so_of_its_cell(mixed, capsys):
    words = ("--results", mixed.root)
    told = "Of protocol 1: a grid of today runs it anew."
    assert told in typed(capsys, "explain", MAJORITY.id, *words).splitlines()
    assert "rotocol" not in typed(capsys, "explain", TODAY[MAJORITY.id], *words)
    found = json.loads(typed(capsys, "explain", MAJORITY.id, *words, "--format", "json"))
    assert found["protocol"] == 1


# Run again ---------------------------------------------------------------------------------------


def test_a_sweep_takes_no_old_cell_for_done_and_says_so(old, mixed, tmp_path):
    told = f"{len(OLD)} cells of protocol 1 in '{old.root}', not taken for done"
    assert _not_taken(mixed) == [told]
    assert _not_taken(Ledger(tmp_path / "nothing")) == []
    assert not set(TODAY.values()) & {record.id for record in OLD}


def test_an_old_record_that_is_run_again_stays_of_its_protocol():
    again = cell_in(TEXTS[OLD.index(FINETUNED)])
    assert (again.id, again.protocol) == (FINETUNED.id, 1)
    assert again.baseline == FINETUNED.baseline
    order = {key: value for key, value in TEXTS[0].items() if key != "protocol"}
    assert cell_in({"cell": order}).protocol == PROTOCOL, "an order is of today"


def test_a_record_of_a_later_protocol_is_refused():
    with pytest.raises(BadInputError, match="a cell of protocol 9, newer than 2"):
        cell_in({**TEXTS[0], "protocol": 9})


def test_reproduce_runs_a_cell_under_its_protocol_and_says_what_that_shows(
    old, capsys, monkeypatch
):
    def run(cell, ledger, machine, keep=None):
        assert (cell.id, cell.protocol, cell.parts) == (MAJORITY.id, 1, MAJORITY.parts)
        ledger.write(MAJORITY, said(MAJORITY.score))
        return MAJORITY

    monkeypatch.setattr(reproducing, "run", run)
    lines = typed(capsys, "reproduce", MAJORITY.id, "--results", old.root).splitlines()
    assert lines[0] == f"{MAJORITY.id} majority x digits, labels=2, seed=0"
    told = "protocol 1: run by today's program, not by that of then; a grid runs it anew"
    assert (lines[1], len(told) <= 80) == (told, True)
    assert lines[-1] == "the same, exactly"
