"""The pages ask for keys that runs really log, and are saved where there is a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from composed import planned
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.factory import config_of, target_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Record
from transfergrid.records.tracking.wandb_tracker import WandbTracker
from transfergrid.report.exports.dashboards import Page, specification
from transfergrid.report.exports.verdict_run import Judged, report_verdicts
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine
from transfergrid.verbs.dashboarding import FILE, metrics_in
from wandb_files import OfflineRun, offline_runs

pytest.importorskip("wandb_workspaces")
OF_W_AND_B = {"_step", "displayName", "group", "jobType", "tags", "createdAt"}
"""What W&B knows of every run by itself."""


def logged_out(folder: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    return {**kept, "NETRC": str(folder / "no-netrc"), "OMP_NUM_THREADS": "1"}


def transfergrid(words: list[str], folder: Path, environment: dict[str, str]) -> str:
    command = [sys.executable, "-c", "from transfergrid.verbs.cli import main; main()", *words]
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@dataclass
class Ran:
    """A small grid that was tracked offline."""

    results: Path
    cells: list[OfflineRun]
    verdict: OfflineRun


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A cell and its baseline, tracked offline, and a verdict on them."""
    results = tmp_path_factory.mktemp("dashboards") / "out"
    ledger, tracker = Ledger(results), WandbTracker(mode="offline", folder=str(results))
    words = ["strategy=scratch_converged", "labels=10", "seed=0", "training.steps=4"]
    for cell in sorted(
        planned("target=digits", *words).cells, key=lambda c: c.baseline is not None
    ):
        run_cell(cell, ledger, Machine(accelerator="cpu"), tracker)
    verdicts = [verdict_on(ledger.records())]
    told = {**config_of(tracker), "_target_": target_of(WandbTracker)}
    report_verdicts(verdicts, told, ledger, Judged(id="of-the-test"))
    runs = offline_runs(results)
    [verdict] = [run for run in runs if run.job_type == "verdict"]
    return Ran(results, [run for run in runs if run.job_type == "adapt"], verdict)


def verdict_on(records: list[Record]) -> Verdict:
    [record] = [record for record in records if record.baseline]
    return Verdict(
        source=None,
        architecture=record.names.architecture,
        strategy=record.names.strategy,
        target=record.names.target,
        labels=record.labels,
        baseline="scratch",
        n=2,
        gain=1.0,
        low=None,
        high=None,
        p=None,
        p_corrected=None,
        verdict=Kind.UNDECIDED,
        detectable=None,
        seeds_needed=None,
        cells=(record.id,),
    )


def paths(config: dict[str, Any], before: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield before + key
        if isinstance(value, dict):
            yield from paths(value, f"{before}{key}.")


def logged(runs: list[OfflineRun]) -> set[str]:
    """Return every key that runs log, as `metric` or as `config.path`."""
    found: set[str] = set()
    for run in runs:
        keys = {*run.summary}.union(*run.history)
        found |= keys | {key.removesuffix("/_type") for key in keys}  # a table or a picture
        found |= {f"config.{path}" for path in paths(run.config)}
    return found


def plain(key: str) -> str:
    """Return a key as `logged` spells it, however this part of a specification spells it."""
    for before in ("summary_metrics.", "summary:", "run:"):
        key = key.removeprefix(before)
    return key.replace("config:", "config.").replace(".value", "", 1)  # W&B's envelope


def asked(node: Any) -> Iterator[str]:
    """Yield every key that panels, filters, groupings, orders and columns name."""
    if isinstance(node, list):
        for item in node:
            yield from asked(item)
    if not isinstance(node, dict):
        return
    if {"section", "name"} == node.keys():  # of a filter, grouping or order
        yield plain(f"config.{node['name']}" if node["section"] == "config" else node["name"])
    if node.get("name") == "pick":  # of the table
        yield node["inputs"]["key"]["val"]
    for name in ("metrics", "mediaKeys"):
        yield from map(plain, node.get(name) or [])
    for name in ("xAxis", "yAxis"):
        if isinstance(node.get(name), str):
            yield plain(node[name])
    if node.get("groupBy"):
        yield plain(f"config.{node['groupBy']}")
    yield from map(plain, node.get("columnPinned") or {})
    for item in node.values():
        yield from asked(item)


@pytest.mark.parametrize("page", ["workspace", "report"])
def test_every_key_of_a_page_is_one_that_runs_log(page: str, ran: Ran) -> None:
    told = specification(Page(metrics=metrics_in(str(ran.results)), study="s"), with_report=True)
    keys = {*asked(told[page])} - OF_W_AND_B
    assert keys - logged([*ran.cells, ran.verdict]) == set()
    assert {
        *("gain_this_seed", "below_baseline", "train/loss", "validation/accuracy", "seconds"),
        *("parameters_trained", "verdicts", "heat_map", "count/negative", "config.names.strategy"),
    } <= keys


def test_a_renamed_key_would_be_seen(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfergrid.report.exports.dashboards.GAIN", "gain_of_this_seed")
    keys = {*asked(specification(Page()))} - OF_W_AND_B
    assert keys - logged([*ran.cells, ran.verdict]) == {"gain_of_this_seed"}


def test_a_row_of_the_table_names_the_group_of_its_runs(ran: Ran) -> None:
    [file] = ran.results.rglob("media/table/verdicts*.json")
    told = json.loads(file.read_text())
    [row] = [dict(zip(told["columns"], row, strict=True)) for row in told["data"]]
    [run] = [run for run in ran.cells if run.config["names"]["strategy"] == row["strategy"]]
    assert row["group"] == run.group


def test_true_and_false_are_numbers_that_a_chart_can_average(ran: Ran) -> None:
    for run in ran.cells:
        for key in ("below_baseline", "collapsed", "underfit"):
            assert type(run.summary.get(key, 0)) is int


def test_a_study_is_told_by_its_tag() -> None:
    with_study = json.dumps(specification(Page(study="shapes")))
    without = json.dumps(specification(Page()))
    assert '"shapes"' in with_study
    assert '"tags"' in with_study
    assert '"tags"' not in without


def test_without_a_server_the_specification_goes_to_a_file(tmp_path: Path) -> None:
    told = transfergrid(["dashboard", "--project", "p"], tmp_path, logged_out(tmp_path))
    assert told.startswith(f"not logged in to W&B: wrote the specification to {FILE}")
    assert told.count("\n") == 1
    written = json.loads((tmp_path / FILE).read_text())
    assert written.keys() == {"workspace"}
    assert written["workspace"]["project"] == "p"


def test_a_server_that_does_not_answer_is_told(tmp_path: Path) -> None:
    there = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    told = transfergrid(["dashboard"], tmp_path, {**logged_out(tmp_path), **there})
    assert told.startswith(f"http://127.0.0.1:9 does not answer: wrote the specification to {FILE}")


class StandIn(BaseHTTPRequestHandler):
    """Answers what W&B's client asks when it saves a workspace."""

    saved: list[dict[str, Any]]

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(text) if text.startswith(b"{") else {"query": ""}
        if "upsertView" in asked["query"]:
            self.saved.append(asked["variables"])
            view = {"id": "1", "name": "nw-abc-v"}
            self._answer({"upsertView": {"view": view, "inserted": True}})
        else:
            viewer = {"id": "1", "entity": "me", "username": "me", "flags": "{}"}
            self._answer({"viewer": {**viewer, "teams": {"edges": []}}})

    def _answer(self, data: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"data": data}).encode())


def test_with_a_server_the_workspace_is_saved_there(tmp_path: Path) -> None:
    handler = type("Handler", (StandIn,), {"saved": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = f"http://127.0.0.1:{server.server_port}"
    there = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": place}
    told = transfergrid(["dashboard"], tmp_path, {**logged_out(tmp_path), **there})
    server.shutdown()
    server.server_close()
    assert told == f"saved: {place}/me/transfergrid?nw=abc\n"
    [view] = handler.saved
    assert (view["entityName"], view["projectName"]) == ("me", "transfergrid")
    ours = specification(Page())["workspace"]["spec"]["section"]["panelBankConfig"]["sections"]
    theirs = json.loads(view["spec"])["section"]["panelBankConfig"]["sections"]
    assert [s["name"] for s in theirs] == [s["name"] for s in ours]
    assert not (tmp_path / FILE).exists()
