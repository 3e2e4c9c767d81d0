"""A worker without torch: it does what the cell's strategy says, and keeps true records."""

import faulthandler
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from transfergrid.records.cell import cell_of
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.process import stopping
from transfergrid.records.process.orphans import end_with_parent
from transfergrid.records.provenance import identified
from transfergrid.records.record import Data, Metric, Scores, Status
from transfergrid.runs.launching.worker_process import TELLS


def do(cell, results):
    """Do what the cell asks for; return the reason of its failure."""
    what = cell.config["strategy"].get("what", "work")
    tries = Path(results).parent / "tries"
    tries.mkdir(exist_ok=True)
    with (tries / cell.id).open("a") as log:
        log.write(f"{os.getpid()}\n")
    fails = what == "fail" or (tries.parent / "fails").exists()
    if fails or (what == "fail once" and len((tries / cell.id).read_text().split()) == 1):
        print("what it said before")
        return "ValueError: it was asked to"
    if what == "die":
        print("last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "die once" and len((tries / cell.id).read_text().split()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "kill the loop" or (
        what == "kill the loop once" and len((tries / cell.id).read_text().split()) == 1
    ):
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)  # and this one ends with its parent
    if what == "leave":
        sys.exit(3)
    marks = tries.parent / "marks"
    marks.mkdir(exist_ok=True)
    if what == "put down":
        signal.signal(signal.SIGTERM, lambda *_: _put_down(marks / f"{cell.id}.left"))
    if what == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if what == "litter":
        tempfile.mkdtemp()
        (marks / "littered").touch()
    if what == "nap":
        time.sleep(0.1)
    first = len((tries / cell.id).read_text().split()) == 1
    if what in ("sleep", "put down", "deaf") or (what == "sleep once" and first):
        (marks / f"{cell.id}.asleep").touch()
        time.sleep(600)
    metric = Metric(name="accuracy", higher_is_better=True)
    scores, data = Scores(test={"accuracy": 0.5}), Data(classes=("a", "b"))
    record = identified(cell, Status.DONE, metric=metric, scores=scores, data=data)
    Ledger(results).write(record, Predictions(np.full((2, 2), 0.5), np.array([0, 1])), {})
    if what == "die afterwards":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "die before a child":
        subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)  # holds the pipe open
        os.kill(os.getpid(), signal.SIGKILL)
    return None


def _put_down(file):
    time.sleep(0.2)
    file.touch()
    sys.exit(143)


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.set_inheritable(answers.fileno(), True)
    os.dup2(2, 1)
    end_with_parent()
    stopping.obey()
    faulthandler.register(TELLS)
    for line in sys.stdin:
        order = json.loads(line)
        if "prepare" in order:
            continue
        cells = [cell_of(cell) for cell in order.get("check", [])]
        told = [cell.config["strategy"] for cell in cells]
        wrong = [strategy["wrong"] for strategy in told if "wrong" in strategy]
        reason = wrong[0] if wrong else None
        odd = {c.id: t["odd"] for c, t in zip(cells, told, strict=True) if "odd" in t}
        if "cell" in order:
            print(json.dumps({"doing": ""}), file=answers, flush=True)
            reason = do(cell_of(order["cell"]), order["results"])
        sys.stdout.flush()
        lines = [json.dumps({"reason": reason, "impossible": odd})]
        if "cell" in order and order["cell"]["config"]["strategy"].get("what") == "hasty":
            lines = [json.dumps({"doing": f"step {step} of 3"}) for step in (1, 2, 3)] + lines
        print("\n".join(lines), file=answers, flush=True)  # all of it in one piece


if __name__ == "__main__":
    main()
