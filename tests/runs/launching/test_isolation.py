"""One cell does its worst, and all others of its grid are done: real grids, real workers."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from forked import python
from transfergrid.records.factory import config_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.testing.tiny_vectors import TinyVectorDomain, TinyVectorSource

CULPRITS = Path(__file__).parents[2] / "culprits.py"
DEEDS = {
    "raise": ("ValueError: a bug of mine", "raise ValueError"),
    "diverge": ("FloatingPointError: the training loss is nan", "Traceback"),
    "exit": ("SystemExit: 3", "sys.exit(3)"),
    "os_exit": ("its worker process ended with exit code 7, twice", "about to os_exit"),
    "segfault": ("its worker process ended with SIGSEGV, twice", "culprits.py"),
    "memory": ("its worker process ended with SIGKILL (out of memory?), twice", "about to memory"),
    "hang": ("it took longer than trainer.cell_timeout=0.3 minutes", "culprits.py"),
}
"""Why each has failed, and what its log says among other things."""
STRATEGY = {
    "_target_": "culprits.Culprit",
    "lr_factor": 1.0,
    "schedule": None,
    "deed": "nothing",
    "about": {
        "help": "does its worst",
        "version": 1,
        "paths": [],
        "needs": {"source": "weights", "target_labels": "required", "steps": True},
        "baselines": {"labelled": "scratch"},
    },
}
PARTS = {
    "strategy/culprit": STRATEGY,
    "target/tiny": config_of(TinyVectorDomain()),
    "source/tiny": config_of(TinyVectorSource()),
}
WORDS = [
    *("source=tiny", "target=tiny", "labels=2", "strategy=culprit", "training.steps=4"),
    *("trainer.accelerator=cpu", "trainer.diagnostics=none", "trainer.workers=2"),
    *("baselines=none", "references=[majority,logistic_regression]"),
]


@pytest.fixture
def grid(tmp_path, monkeypatch):
    """Run a grid of these words; what it printed, its exit code and its results."""
    own = tmp_path / "own"
    for name, part in PARTS.items():
        file = own / "conf" / f"{name}.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(yaml.safe_dump(part))
    shutil.copy(CULPRITS, own)
    monkeypatch.syspath_prepend(str(own))

    def run(*words):
        typed = ["-m", "transfergrid", "--config-dir", str(own / "conf"), *WORDS, *words]
        return python(typed, tmp_path, {"PYTHONPATH": str(own)}), Ledger(tmp_path / "results")

    return run


def test_whatever_a_strategy_does_its_cell_alone_has_failed(grid):
    deeds = ["nothing", *DEEDS]
    done, ledger = grid(f"strategy.deed={','.join(deeds)}", "trainer.cell_timeout=0.3")
    assert done.returncode == 1, done.stderr
    told = {r.config["strategy"].get("deed", r.names.strategy): r for r in ledger.failures()}
    assert told.keys() == DEEDS.keys()
    for deed, (reason, said) in DEEDS.items():
        assert told[deed].reason.startswith(reason), deed
        log = (ledger.root / "attempts" / told[deed].id / "1" / "log.txt").read_text()
        assert said in log, deed
    assert {r.names.strategy for r in ledger.records()} == {
        "culprit(deed=nothing)",
        "majority",
        "logistic_regression",
    }
    assert done.stdout.count(": failed: ") == len(DEEDS)
    assert "logs of failed cells: " in done.stdout, "the closing summary"
    assert not [*(ledger.root / "tmp").iterdir()]
    assert not (ledger.root / "claims").exists()


@pytest.fixture
def disk(tmp_path):
    """A disk of half a MiB, on which the results are to be kept."""
    place = tmp_path / "results"
    place.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    try:
        subprocess.run(mounted, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk may be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


SEEDS = ("strategy.deed=nothing", "trainer.cache=0", "trainer.workers=1")


def test_a_disk_that_is_full_loses_no_record_and_the_same_command_goes_on_once_there_is_room(
    grid, disk
):
    filler = disk / "filler"
    filler.write_bytes(bytes(380 * 1024))
    words = (*SEEDS, "seed=range(6)")
    full, ledger = grid(*words)
    assert full.returncode == 1, full.stderr
    before = {r.id: (ledger.folder(r.id) / "record.json").read_bytes() for r in ledger.records()}
    assert 0 < len(before) < 18
    said = full.stdout + full.stderr
    assert "Traceback" not in said
    assert "No space left on device" in said
    filler.unlink()
    again, ledger = grid(*words)
    assert again.returncode == 0, again.stderr
    assert len(ledger.records()) == 18
    for name, text in before.items():
        assert (ledger.folder(name) / "record.json").read_bytes() == text
    assert not [*(disk / "tmp").iterdir()]


def test_a_disk_that_takes_nothing_is_told_before_anything_is_run(grid, disk):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    done, _ = grid(*SEEDS)
    assert done.returncode == 2
    assert done.stderr == (
        "transfergrid: cannot write results to 'results': Read-only file system\n"
    )
