"""The same small grid by every launcher: the same cells with the same scores, each run once."""

import shutil
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest
from filelock import FileLock

import forked
import pretend_grid
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.launching.launchers import Slurm

SCRIPT = Path(__file__).parents[4] / "shared" / "slurm" / "one_node.sh"
GRID = (
    *("source=glyph_digits", "strategy=feature_extraction", "target=digits", "labels=2"),
    *("seed=0,1", "training.steps=4", "trainer.accelerator=cpu", "trainer.threads=1"),
)
CELLS = 8
"""Two seeds of it, of its baseline and of two arms without a network."""
OPTIONS = {
    "workers": ("hydra.launcher.n=2",),
    "slurm": ("hydra.launcher.n=2",),
    "ray": ("hydra.launcher.n=2",),
}


def slurm_answers():
    if shutil.which("sinfo") is None:
        return False
    told = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True, check=False)
    return any(state in told.stdout for state in ("idle", "mix", "alloc"))


def starts(place):
    """Start Slurm; return whether its node answers. What a failed start began is ended."""
    if not subprocess.run(["bash", SCRIPT, "start", place], capture_output=True).returncode:
        return True
    subprocess.run(["bash", SCRIPT, "stop", place], capture_output=True)
    return False


@pytest.fixture
def slurm(tmp_path_factory):
    """A cluster of one node, which one test at a time has for itself."""
    if not SCRIPT.is_file() or find_spec("submitit") is None:
        pytest.skip("there is no Slurm to try, or no submitit")
    with FileLock(tmp_path_factory.getbasetemp().parent / "slurm.lock"):
        place, own = tmp_path_factory.mktemp("slurm"), not slurm_answers()
        if own and not any(starts(place) for _ in range(2)):  # a busy machine may be too slow once
            pytest.skip("Slurm cannot be started here")
        yield
        if own:
            subprocess.run(["bash", SCRIPT, "stop", place], check=True)


def transfergrid(folder, launcher, *words):
    """Run the grid by a launcher; return what it said, and the ledger."""
    command = ["-m", "transfergrid.verbs.cli", *GRID, f"hydra/launcher={launcher}", *words]
    done = forked.python(command, folder)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout, Ledger(folder / "results")


def scores(ledger):
    return {record.id: record.scores.test for record in ledger.records()}


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    _, ledger = transfergrid(folder, "local", "trainer.workers=1")
    assert len(scores(ledger)) == CELLS
    return scores(ledger)


@pytest.mark.parametrize("launcher", OPTIONS)
def test_every_launcher_runs_the_same_cells_to_the_same_scores(launcher, local, tmp_path, request):
    if launcher == "ray":
        pytest.importorskip("ray")
    if launcher == "slurm":
        request.getfixturevalue("slurm")
    said, ledger = transfergrid(tmp_path, launcher, *OPTIONS[launcher])
    assert scores(ledger) == local
    assert f"[{CELLS}/{CELLS}]" in said
    assert "feature_extraction" in said.partition(f"[{CELLS}/{CELLS}]")[2], "the table"
    left = {path.name for path in ledger.root.iterdir()}
    assert not {"claims", "launches", "attempts", "running"} & left


def pretended(results, what, **options):
    """Run pretended cells as jobs."""
    cells = [pretend_grid.cell(number, told) for number, told in enumerate(what)]
    return pretend_grid.run(results, cells, launcher=Slurm(n=2, lease=5.0, **options), workers=1)


def tries(folder):
    return [len(path.read_text().split()) for path in sorted((folder / "tries").iterdir())]


def until(there, seconds=120):
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.2)


def test_jobs_that_are_left_to_slurm_end_by_themselves(slurm, tmp_path, capsys):
    outcome = pretended(tmp_path / "results", ["nap"] * 6, detach=True)
    assert (outcome.detached, outcome.left) == (True, 6)
    assert "6 cells left to them; transfergrid status" in capsys.readouterr().out
    until(lambda: [*(tmp_path / "results").glob("cells/*/*/record.json")][5:])
    assert tries(tmp_path) == [1] * 6


def test_a_job_that_is_cancelled_is_replaced_and_its_cell_goes_on_elsewhere(slurm, tmp_path):
    def cancel():
        until(lambda: [*(tmp_path / "marks").glob("*.asleep")])
        told = ["squeue", "-h", "-r", "-o", "%i", "-n", "transfergrid"]
        first = subprocess.run(told, capture_output=True, text=True, check=True).stdout.split()
        subprocess.run(["scancel", *first], check=True)

    other = Thread(target=cancel)
    other.start()
    outcome = pretended(tmp_path / "results", ["sleep once", "nap", "nap"])
    other.join()
    assert (outcome.done, outcome.failed) == (3, 0)
    assert tries(tmp_path) == [2, 1, 1]
