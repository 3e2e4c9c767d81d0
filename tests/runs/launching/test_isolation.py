"""One cell does its worst, and all others of its grid are done: real grids, real workers."""

import shutil
from pathlib import Path

import pytest
import yaml

from forked import python
from transfergrid.records.factory import config_of
from transfergrid.records.ledger import Ledger
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
