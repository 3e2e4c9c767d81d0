"""A W&B sweep's agent starts the same command, and its run hears the validation score."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.tracking import agents
from wandb_server import Server, serving

COMMAND = [
    *(sys.executable, "-m", "transfergrid", "tracking=wandb", "target=digits", "strategy=scratch"),
    *("seed=range(2)", "baselines=none", "references=[]", "training.steps=3", "results=out"),
    *("trainer.workers=1", "trainer.threads=1", "trainer.accelerator=cpu", "tracking.project=p"),
]


def environment(folder: Path, server: Server) -> dict[str, str]:
    """What a user's shell says, logged in at the stand-in."""
    kept = {key: told for key, told in os.environ.items() if not key.startswith("WANDB_")}
    told = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": server.url, "OMP_NUM_THREADS": "1"}
    return {**kept, **told, "NETRC": str(folder / "no-netrc")}


def test_an_agent_starts_cells_and_its_run_hears_of_the_validation_score(tmp_path: Path) -> None:
    with serving() as server:
        server.sweep = {
            "command": ["${interpreter}", *COMMAND[1:], "${args_no_hyphens}"],
            "runs": [{"run_id": "run1", "args": {"strategy.lr_factor": {"value": 0.7}}}],
        }
        told = [sys.executable, "-m", "wandb", "agent", "--count", "1", "team/p/sweep1"]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ended = subprocess.run(
            told,
            cwd=tmp_path,
            env={**environment(tmp_path, server), "PATH": path, "WANDB_AGENT_REPORT_INTERVAL": "1"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert "run1" in server.runs, ended.stdout + ended.stderr
    records = Ledger(tmp_path / "out").records()
    assert {record.config["strategy"]["lr_factor"] for record in records} == {0.7}
    run = server.runs.pop("run1")
    assert (run["sweep"], run["project"], run["exit"]) == ("sweep1", "p", 0)
    scores = [record.scores.validation["accuracy"] for record in records]  # type: ignore[index]
    assert run["summary"]["validation_score"] == pytest.approx(100 * sum(scores) / 2)
    config = json.loads(run["config"])
    assert config["strategy.lr_factor"]["value"] == 0.7
    assert sorted(config["cells"]["value"]) == sorted(record.id for record in records)
    assert len(server.runs) == 2  # the cells' own, which are no part of the sweep
    assert not any(other.get("sweep") for other in server.runs.values())


def test_an_agents_run_is_taken_once_out_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = tmp_path / "chosen.yaml"
    chosen.write_text("wandb_version: 1\nlabels:\n  value: 20\n")
    told: dict[str, Any] = {agents.RUN: "r", agents.SWEEP: "s", agents.PARAMETERS: str(chosen)}
    for key, value in told.items():
        monkeypatch.setenv(key, value)
    run = agents.taken()
    assert run is not None
    assert (run.id, run.sweep, run.chosen) == ("r", "s", {"labels": 20})
    assert agents.taken() is None
    assert not set(agents.OWN) & os.environ.keys()


def test_a_sweep_over_cells_that_nothing_validates_is_refused(tmp_path: Path) -> None:
    with serving() as server:
        told = {agents.RUN: "r", agents.SWEEP: "s", **environment(tmp_path, server)}
        ended = subprocess.run(
            [*COMMAND, "labels=2"],
            cwd=tmp_path,
            env=told,
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert "sweep s judges by validation scores, and no label validates" in line
