"""Ten cells through the command: W&B holds what the ledger holds, and the verdict."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from transfergrid.evidence.declared.declarations import Declaration, read_grid
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Record
from transfergrid.verbs.tracking_done import command
from wandb_files import OfflineRun, offline_runs

SWEEP = [
    *("target=digits", "labels=2", "seed=range(5)", "strategy=scratch,scratch_converged"),
    *("training.steps=10", "references=[]", "tracking=wandb", "tracking.project=tracked"),
    *("trainer.workers=1", "trainer.threads=1", "results=out"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ledger, list[OfflineRun]]:
    """Ten cells through the command, as a ledger and as offline runs."""
    folder = tmp_path_factory.mktemp("sweep")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    environment = {**kept, "NETRC": str(folder / "no-netrc"), "OMP_NUM_THREADS": "1"}
    (folder / "tmp").mkdir()
    environment["TMPDIR"] = str(folder / "tmp")
    command = [sys.executable, "-c", "from transfergrid.verbs.cli import main; main()"]
    ended = subprocess.run(
        [*command, *SWEEP], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return Ledger(folder / "out"), offline_runs(folder / "out")


@pytest.fixture(scope="module")
def swept(told: Any) -> tuple[list[Record], list[OfflineRun]]:
    """The cells, as their records and as their offline runs."""
    return told[0].records(), [run for run in told[1] if run.job_type == "adapt"]


def test_nothing_is_left_in_temporary_folders(told: Any) -> None:
    assert not list((told[0].root.parent / "tmp").iterdir())


def test_the_grid_ends_with_a_run_of_its_verdicts(told: Any) -> None:
    [run] = [run for run in told[1] if run.job_type == "verdict"]
    counts = {k.removeprefix("count/"): v for k, v in run.summary.items() if k.startswith("count/")}
    assert (counts["cells"], counts["failed"], run.summary["verdicts/nrows"]) == (10, 0, 1)
    assert run.config["seeds"] == [0, 1, 2, 3, 4]
    assert run.config["strategies"] == ["scratch_converged"]
    assert run.config["baselines"] == ["scratch"]
    [grid] = told[0].documents("grids")
    assert run.group == run.config["grid"] == grid["id"]
    assert run.config["declaration"] == Declaration.read(grid["declaration"]).digest


def test_every_cell_of_a_multirun_gets_a_run_with_its_own_config(swept: Any) -> None:
    records, runs = swept
    assert len(records) == len(runs) == 10
    assert len({run.id for run in runs}) == 10
    by_cell = {run.config["cell"]: run for run in runs}
    for record in records:
        run = by_cell[record.id]
        assert run.config["seed"] == record.seed
        assert run.config["names"]["strategy"] == record.names.strategy
        assert run.config["strategy"]["_target_"] == record.config["strategy"]["_target_"]
        assert run.config["training"]["steps"] == 10
        assert (run.job_type, run.exit_code) == ("adapt", 0)
        assert {record.names.strategy, "digits"} <= set(run.tags)


def test_a_group_is_a_cell_without_its_seed(swept: Any) -> None:
    groups: dict[str, set[int]] = {}
    for run in swept[1]:
        groups.setdefault(run.group, set()).add(run.config["seed"])
        assert not any("seed" in text for text in (run.group, *run.tags))
    assert list(groups.values()) == [{0, 1, 2, 3, 4}] * 2


def test_runs_and_ledger_hold_the_same_scores_and_gains(swept: Any) -> None:
    records, runs = swept
    by_id = {record.id: record for record in records}
    gains = 0
    for run in runs:
        record = by_id[run.config["cell"]]
        assert record.scores.test is not None
        for name, value in record.scores.test.items():  # shares in per cent, as tables show them
            scale = 1 if name == "loss" else 100
            assert run.summary[f"test/{name}"] == pytest.approx(scale * value)
        assert run.summary["score"] == run.summary["test/accuracy"]
        assert run.summary["unit"] == "%"
        if record.baseline is None:
            assert {"gain_this_seed", "baseline_score", "baseline"}.isdisjoint(run.summary)
            continue
        baseline = 100 * by_id[record.baseline.id].score
        assert run.config["baseline"] == run.summary["baseline"] == "scratch"
        assert run.summary["baseline_score"] == pytest.approx(baseline)
        gain = 100 * record.score - baseline
        assert run.summary["gain_this_seed"] == pytest.approx(gain)
        assert run.summary["below_baseline"] == (gain < 0)
        gains += 1
    assert gains == 5


def test_a_key_has_one_meaning(swept: Any) -> None:
    for run in swept[1]:
        along = {key for row in run.history for key in row if not key.startswith("_")}
        assert {"train/loss", "examples_seen"} <= along
        last: dict[str, float] = {}
        for row in run.history:
            last |= row
        afterwards = {key for key in run.summary if key not in along and "/" in key}
        assert {"final/train/loss", "final/train/accuracy", "test/accuracy"} <= afterwards
        assert all(run.summary[key] == last[key] for key in along if key in run.summary)


def test_every_run_knows_its_grid(told: Any) -> None:
    [grid] = told[0].documents("grids", read_grid)
    assert {run.config["grid"] for run in told[1]} == {grid["id"]}
    assert all("study" in run.config for run in told[1])


def test_cells_done_before_are_sent_with_the_same_curves_and_numbers(
    told: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger, runs = told
    arguments = [str(ledger.root), "--mode", "offline", "--where", "strategy=scratch_converged"]
    assert command([*arguments, "--project", "tracked"]) == 0  # as the sweep sent them itself
    assert "sent 0 of 0 cells to tracked; 5 sent before" in capsys.readouterr().out
    assert command([*arguments, "--project", "later"]) == 0
    assert command([*arguments, "--project", "later"]) == 0
    assert "sent 0 of 0 cells to later; 5 sent before" in capsys.readouterr().out

    known = {run.id for run in runs}
    late = [run for run in offline_runs(ledger.root) if run.id not in known]
    first = {run.config["cell"]: run for run in runs if run.job_type == "adapt"}
    assert len(late) == 5
    for run in late:
        before = first[run.config["cell"]]
        assert run.config == before.config
        assert (run.group, run.job_type, run.tags) == (before.group, "adapt", before.tags)
        assert _numbers(run.summary) == pytest.approx(_numbers(before.summary))
        assert len(run.history) == len(before.history)
        for row, same in zip(run.history, before.history, strict=True):
            assert _numbers(row) == pytest.approx(_numbers(same))


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in values.items() if k[0] != "_" and isinstance(v, int | float)}


def test_curves_go_by_step_and_count_examples(swept: Any) -> None:
    for run in swept[1]:
        rows = [row for row in run.history if "train/loss" in row]
        steps = [row["_step"] for row in rows]
        assert steps == sorted(set(steps))
        assert len(steps) >= 10
        seen = [row["examples_seen"] for row in rows]
        assert seen[0] > 0
        assert seen == sorted(set(seen))
