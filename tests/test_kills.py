"""Killed at random instants and typed again, a grid is the one that nobody disturbed."""

import os
import random
import sys
from pathlib import Path

import pytest

import forked

RELIABILITY = Path(__file__).parents[1] / "experiments" / "reliability"
FEW = {
    "strategy": "strategy=full_finetuning,linear_probe_then_finetuning",
    "tuning": "tuning=none",
    "seed": "seed=range(2)",
}
INSTANTS = 3


@pytest.fixture
def kills():
    """The experiment."""
    sys.path.insert(0, str(RELIABILITY))
    try:
        import kills
    finally:
        sys.path.remove(str(RELIABILITY))
    return kills


class Begun:
    """A forked process as `subprocess.Popen` would have it."""

    def __init__(self, process):
        self.process, self.pid, self.kill = process, process.pid, process.kill

    def poll(self):
        return self.process.exitcode

    returncode = property(poll)

    def wait(self):
        self.process.join()
        return self.process.exitcode


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_a_grid_that_is_killed_and_typed_again_is_the_one_that_nobody_disturbed(
    kills, tmp_path, monkeypatch
):
    class Forked(kills.Grid):
        """Its processes are forked from one that has imported what takes long."""

        seen: set[int]

        def start(self):
            self.seen = getattr(self, "seen", set())
            place = self.folder / f"said-{len(self.said)}"
            own = {**os.environ, "TMPDIR": str(self.temporary)}
            words = ["-m", "transfergrid", *self.words]
            _, process, files = forked._start(words, self.folder, own, place)
            files[0].touch()
            self.said.append(files[0])
            self.process = Begun(process)
            return self.process

        def processes(self):
            """Return those that are there: the grid's, and its children that were ever seen."""
            own = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            if own.exists():
                self.seen |= {self.process.pid, *map(int, own.read_text().split())}
            return [number for number in self.seen if is_there(number)]

    monkeypatch.setattr(kills, "Grid", Forked)
    random.seed(2)
    words = [FEW.get(word.partition("=")[0], word) for word in kills.WORDS]
    found = kills.run(tmp_path, INSTANTS, [*words, "baselines=none", "references=[majority]"])
    assert sum(found.instants.values()) == INSTANTS
    assert found.cells == 6 * found.grids
    assert (found.lost, found.twice, found.differ, found.left) == ([], [], [], [])


def is_there(number):
    """Return whether a process is there, and no zombie."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
