"""A gain of a source that has seen its target is marked, wherever it is shown."""

import csv
import io
import json
from dataclasses import dataclass, replace

import pytest

from ledger_factory import made, measured
from transfergrid.data.noise import Noise
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.records.cell import Cell, Names, Parts
from transfergrid.records.factory import config_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.needs import Needs
from transfergrid.records.record import Flags, from_json
from transfergrid.report.running.closing import rows_of
from transfergrid.report.tables.sheet import render
from transfergrid.report.views.table import sheet
from transfergrid.runs.planning import contamination
from transfergrid.runs.planning.contamination import contaminated_by
from transfergrid.sources.checkpoint import Checkpoint
from transfergrid.sources.placebo import Placebo
from transfergrid.sources.timm import TimmArchitecture, TimmSource
from transfergrid.sources.trained_here import TrainedHere

SMALL = TimmArchitecture("test_resnet", 16, {"in_chans": 1})
SEEN = Checkpoint(SMALL, "mine.pth", card={"trained_on": ["in1k"]})
INSIDE = config_of(Noise(n_classes=2, part_of=["ImageNet-1k"]))
WORDS = "target lies inside what the source was trained on (ImageNet-1k): no evidence of"


def seen(source, target=INSIDE, need="weights"):
    return contaminated_by(source and config_of(source), Needs(source=need), target)


def test_weights_that_have_seen_the_target_are_marked():
    assert seen(SEEN) == seen(SEEN, need="start") == ("ImageNet-1k",)
    assert seen(TimmSource(TimmArchitecture("resnet18"))) == ("ImageNet-1k",)


def test_what_has_seen_nothing_or_takes_no_weights_is_not():
    assert seen(SEEN, config_of(Noise(n_classes=2))) == ()
    assert seen(SEEN, need="architecture") == seen(None, need="none") == ()
    assert seen(Placebo(SEEN)) == seen(Placebo(SEEN), need="start") == ()
    assert seen(Checkpoint(SMALL, "mine.pth")) == ()


def test_a_source_trained_here_has_seen_what_its_start_has():
    fresh = TrainedHere(SMALL, Noise(n_classes=2), Noise(n_classes=2))
    started = replace(fresh, start=SEEN)
    assert seen(started) == seen(started, need="start") == ("ImageNet-1k",)
    assert seen(fresh) == seen(fresh, need="start") == ()


def test_a_library_is_not_asked_where_nothing_is_known_of_the_target(monkeypatch):
    monkeypatch.setattr(TimmSource, "told_card", lambda _: pytest.fail("asked"))
    assert seen(TimmSource(TimmArchitecture("resnet18")), config_of(Noise(n_classes=2))) == ()


def cell(name, source, seed=0):
    return Cell(
        id=f"{name}{seed}",
        names=Names(source=name, strategy="s", target="ants"),
        parts=Parts(source=name, strategy="s", target="t"),
        labels=5,
        seed=seed,
        config={
            "source": config_of(source),
            "strategy": {"about": {"needs": {}}},
            "target": INSIDE,
            "training": None,
        },
    )


def test_the_plan_warns_once_for_a_source_and_a_target():
    cells = [cell("seen", SEEN), cell("seen", SEEN, 1), cell("placebo", Placebo(SEEN))]
    marked = contamination.marks(cells)
    assert marked == {"seen0": ("ImageNet-1k",), "seen1": ("ImageNet-1k",)}
    (line,) = contamination.warnings(cells, marked)
    assert line.startswith("seen was trained on ImageNet-1k, and ants lies inside: gains there")


@pytest.fixture
def records():
    flags = Flags(contaminated_by=("ImageNet-1k",))
    return [made(), made("probe", "seen", flags=flags, baseline=made()), made("probe", "unseen")]


def test_a_record_keeps_the_mark_and_one_without_is_read(records):
    assert from_json(records[1].to_json()).flags.contaminated_by == ("ImageNet-1k",)
    plain = json.loads(records[0].to_json())
    del plain["flags"]["contaminated_by"]
    assert from_json(json.dumps(plain)) == records[0]


def test_every_output_marks_the_row_and_no_other(records):
    rows = measured(records)
    table, markdown = (
        render(sheet(rows), format=kind, width=200) for kind in ("table", "markdown")
    )
    for text in (table, markdown):
        assert WORDS in text
    marked = [
        line for line in table.splitlines() if line.endswith("2.0") and "[one seed] a" in line
    ]
    assert [line.split()[0] for line in marked] == ["seen"]
    listed = json.loads(render(sheet(rows), format="json"))
    told = {row["source"]: row["contaminated_by"] for row in listed}
    assert told == {None: [], "seen": ["ImageNet-1k"], "unseen": []}
    read = csv.DictReader(io.StringIO(render(sheet(rows), format="csv")))
    assert {r["source"]: r["contaminated_by"] for r in read}["seen"] == '["ImageNet-1k"]'


def test_the_last_grid_says_what_was_typed_later(tmp_path, records):
    ledger = Ledger(tmp_path)
    for record in records:
        ledger.write(record, None, None)
    unseen = records[2]
    cells = {unseen.id: {"baseline": None, "exploratory": [], "contaminated_by": ["Our scans"]}}
    ledger.write_document("grids", {"id": "1", "asked": "2026-01-01", "cells": cells})
    told = {row.source: row.contaminated_by for row in rows_of(bench_of(ledger))[0]}
    assert told == {None: (), "seen": ("ImageNet-1k",), "unseen": ("Our scans",)}


@dataclass(frozen=True)
class FromALibrary(Noise):
    dataset: str = "Imagenette"


def test_a_dataset_that_is_named_is_known_by_its_name():
    """Imagenette lies inside ImageNet, whoever asks for it."""
    assert seen(SEEN, config_of(FromALibrary())) == ("ImageNet-1k",)
    assert seen(SEEN, config_of(FromALibrary(dataset="SVHN"))) == ()
