"""What workers leave in temporary folders goes with them, however they and their grid end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pretend_grid
from pretend_grid import cell


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which this process and those that it starts take for the system's."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def test_a_grid_leaves_nothing_be_its_workers_killed_or_not(
    tmp_path: Path, temporary: Path
) -> None:
    kinds = ("litter", "die", "fail", "litter")
    outcome = pretend_grid.run(
        tmp_path / "results", [cell(number, what) for number, what in enumerate(kinds)]
    )
    assert (outcome.done, outcome.failed) == (2, 2)
    assert (tmp_path / "marks" / "littered").exists()
    assert not list(temporary.iterdir())


def test_nothing_is_left_of_a_grid_that_was_killed(tmp_path: Path, temporary: Path) -> None:
    command = [sys.executable, pretend_grid.__file__, str(tmp_path / "results"), "sleep"]
    grid = subprocess.Popen(command, start_new_session=True)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("marks/*.asleep")):
        assert time.monotonic() < end, "no cell begins"
        time.sleep(0.05)
    assert list(temporary.iterdir())
    os.killpg(grid.pid, signal.SIGKILL)
    grid.wait()
    while list(temporary.iterdir()):
        assert time.monotonic() < end, "it stays"
        time.sleep(0.05)
