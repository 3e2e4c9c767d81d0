"""The run that ends a grid holds its verdicts, and is never worth more than the grid."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import COLUMNS, CONTROL, PLACEBO, Verdict
from transfergrid.records.factory import Config
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.report.exports.verdict_run import (
    MORE,
    MOST_NAMED,
    Judged,
    alert,
    heat_maps,
    report_verdicts,
    summary_of,
)
from wandb_files import offline_runs, records_in

WANDB: Config = {"_target_": "transfergrid.records.tracking.wandb_tracker.WandbTracker"}
GRID = Judged(id="0123", study="shapes", declaration="abcd", cells=40, failed=2)


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody is logged in to W&B, and its environment asks for nothing.

    Where its process listens stays: put back later, it could be that of one that has ended.
    """
    for key in {key for key in os.environ if key.startswith("WANDB_")} - {"WANDB_SERVICE"}:
        monkeypatch.delenv(key)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


def made_up(decided: Kind, gain: float = 2.0, **changed: Any) -> Verdict:
    verdict = Verdict(
        source="glyphs",
        architecture="small_cnn",
        strategy="full_finetuning",
        target="digits",
        labels=20,
        baseline="scratch",
        n=5,
        gain=gain,
        low=gain - 1.5,
        high=gain + 1.5,
        p=0.01,
        p_corrected=0.02,
        verdict=decided,
        detectable=1.8,
        seeds_needed=None,
        notes=("one", "two"),
        family="digits/20/scratch",
        seeds=(0, 1, 2, 3, 4),
    )
    return replace(verdict, **changed)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes a second."""
    monkeypatch.setattr("transfergrid.report.exports.verdict_run.heat_maps", lambda verdicts: [])


VERDICTS = [
    made_up(Kind.POSITIVE),
    made_up(Kind.NEGATIVE, -4.0, strategy="feature_extraction"),
    made_up(Kind.UNDECIDED, 0.4, strategy="layerwise_lr", seeds_needed=7),
    made_up(Kind.NEGATIVE, -9.0, source="glyphs_permuted", kind=PLACEBO),
    made_up(Kind.NEGATIVE, -2.0, baseline="majority", primary=False),
    made_up(Kind.UNDECIDED, 0.0, source=None, strategy="scratch_converged", kind=CONTROL),
    made_up(Kind.EQUIVALENT, 0.1, labels="all", family="digits/all/scratch"),
]


def table_in(folder: Path) -> dict[str, Any]:
    [file] = folder.rglob("media/table/*.json")
    told: dict[str, Any] = json.loads(file.read_text())
    return told


def alerts_in(folder: Path) -> list[Any]:
    files = folder.glob("wandb/offline-run-*/*.wandb")
    found = [record for path in files for record in records_in(path)]
    return [record.alert for record in found if record.HasField("alert")]


def test_one_run_holds_table_pictures_counts_and_the_declaration(tmp_path: Path) -> None:
    report_verdicts(VERDICTS, WANDB, Ledger(tmp_path), GRID)
    [run] = offline_runs(tmp_path)
    assert (run.job_type, run.group, run.tags, run.exit_code) == (
        "verdict",
        "shapes",
        ["shapes"],
        0,
    )
    assert (run.config["declaration"], run.config["margin"]) == ("abcd", 1.0)
    counts = {key: value for key, value in run.summary.items() if key.startswith("count/")}
    assert counts == {
        **{"count/positive": 1, "count/negative": 1, "count/equivalent": 1, "count/undecided": 1},
        **{"count/harm_ruled_out": 0, "count/gain_ruled_out": 0},
        **{"count/comparisons": 4, "count/cells": 40, "count/failed": 2},
    }
    assert run.summary["headline"].startswith("4 comparisons: 1 helped, 1 hurt")
    [row] = [row for row in run.history if "verdicts/nrows" in row]
    assert row["verdicts/nrows"] == len(VERDICTS)
    assert row["heat_map/captions"] == ["digits, 20 labels a class", "digits, all target labels"]
    assert all(any(tmp_path.rglob(Path(name).name)) for name in row["heat_map/filenames"])


@pytest.mark.usefixtures("no_pictures")
def test_the_table_has_a_row_for_each_verdict_and_the_columns_of_all_outputs(
    tmp_path: Path,
) -> None:
    report_verdicts(VERDICTS, WANDB, Ledger(tmp_path), GRID)
    offline_runs(tmp_path)
    told = table_in(tmp_path)
    assert told["columns"] == ["group", *COLUMNS, *MORE]
    rows = [dict(zip(told["columns"], row, strict=True)) for row in told["data"]]
    for row, verdict in zip(rows, VERDICTS, strict=True):
        for name in ("source", "strategy", "gain", "low", "p_corrected", "seeds_needed", "kind"):
            assert row[name] == getattr(verdict, name)
        assert (row["labels"], row["verdict"]) == (str(verdict.labels), verdict.verdict.value)
        assert row["notes"] == "one; two"


@pytest.mark.usefixtures("no_pictures")
def test_every_look_is_a_run_of_its_own(tmp_path: Path) -> None:
    for _ in range(2):
        report_verdicts(VERDICTS[:1], WANDB, Ledger(tmp_path), replace(GRID, study=None))
    first, second = offline_runs(tmp_path)
    assert first.id != second.id
    assert first.group == second.group == "0123"
    assert first.summary["count/positive"] == second.summary["count/positive"] == 1


@pytest.mark.usefixtures("no_pictures")
def test_one_alert_tells_of_all_proven_negative_transfer_the_worst_first(tmp_path: Path) -> None:
    worse = made_up(Kind.NEGATIVE, -6.0, strategy="layerwise_lr")
    report_verdicts([*VERDICTS, worse], WANDB, Ledger(tmp_path), GRID)
    offline_runs(tmp_path)
    [told] = alerts_in(tmp_path)
    assert told.title == "Negative transfer is proven for 2 arms"
    first, second = told.text.splitlines()
    assert first.startswith("glyphs x layerwise_lr on digits, 20 labels a class: -6.0 [-7.5, -4.5]")
    assert "feature_extraction" in second


@pytest.mark.usefixtures("no_pictures")
def test_alerts_can_be_turned_off(tmp_path: Path) -> None:
    report_verdicts(VERDICTS, {**WANDB, "alerts": False}, Ledger(tmp_path), GRID)
    assert offline_runs(tmp_path)
    assert alerts_in(tmp_path) == []


@pytest.mark.parametrize(
    "harmless",
    [
        made_up(Kind.NEGATIVE, -9.0, kind=PLACEBO),
        made_up(Kind.NEGATIVE, -9.0, kind=CONTROL),
        made_up(Kind.NEGATIVE, -9.0, primary=False),
        made_up(Kind.UNDECIDED, -9.0),
        made_up(Kind.EQUIVALENT, -0.5),
    ],
)
def test_nothing_else_is_called_negative_transfer(harmless: Verdict) -> None:
    assert alert([harmless, made_up(Kind.POSITIVE)]) is None
    told = summary_of([harmless, made_up(Kind.POSITIVE)], GRID)
    assert "negative transfer" not in told["headline"]
    assert told["count/negative"] == 0


def test_an_alert_names_so_many_arms_and_counts_the_rest() -> None:
    told = alert(
        [made_up(Kind.NEGATIVE, -1.0 - i, strategy=f"s{i}") for i in range(MOST_NAMED + 3)]
    )
    assert told is not None
    lines = told[1].splitlines()
    assert (len(lines), lines[-1]) == (MOST_NAMED + 1, "and 3 more")


def test_heat_maps_are_of_one_size_though_targets_have_other_arms() -> None:
    wide = [made_up(Kind.POSITIVE, source=f"a_long_name_{i}", target="wide") for i in range(4)]
    drawn = heat_maps([*VERDICTS, *wide])
    assert [caption for caption, _ in drawn][-1] == "wide, 20 labels a class"
    sizes = {Image.open(io.BytesIO(png)).size for _, png in drawn}
    assert len(sizes) == 1


def test_without_a_tracker_or_a_second_seed_nothing_is_drawn_or_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("transfergrid.report.exports.verdict_run.table", None)
    none = {"_target_": "transfergrid.records.tracking.tracker.NoTracker"}
    report_verdicts(VERDICTS, none, Ledger(tmp_path), GRID)
    report_verdicts([], WANDB, Ledger(tmp_path), GRID)
    report_verdicts([replace(v, n=1) for v in VERDICTS], WANDB, Ledger(tmp_path), GRID)
    assert capsys.readouterr().err == ""
    assert not list(tmp_path.rglob("*.wandb"))


def test_without_a_chart_the_table_is_told_anyway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "vl_convert", None)
    report_verdicts(VERDICTS, WANDB, Ledger(tmp_path), GRID)
    [run] = offline_runs(tmp_path)
    assert len(table_in(tmp_path)["data"]) == len(VERDICTS)
    assert run.summary["count/positive"] == 1
    assert capsys.readouterr().err.count("no heat map") == 1


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("where", ["init", "log", "alert", "finish"])
def test_a_dead_tracker_costs_one_line(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import wandb

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError("gone\nfor good")

    calls = {name: lambda *_, **__: None for name in ("log", "alert", "finish")}
    run = SimpleNamespace(**{**calls, where: fail}, summary={})
    monkeypatch.setattr(wandb, "init", fail if where == "init" else lambda **_: run)
    report_verdicts(VERDICTS, WANDB, Ledger(tmp_path), GRID)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("transfergrid: warning: verdicts shapes is not tracked")
