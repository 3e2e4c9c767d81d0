"""What a run costs as it grows: by cells, by examples, by the width of an embedding.

Cells of a small network on made-up images of 16 pixels in a warm process: probes, one seed after
another; one cell of prototypes, which reads every example, and one of full fine-tuning with as many
steps as ever; probes of embeddings that get wider. Then the verbs that judge, on a made-up ledger.
Run by `run.py 6`, which also draws `growth.svg` and writes `growth.csv`.
"""

from __future__ import annotations

import atexit
import gc
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import Arm, Experiment, Found, Told, Wanted, Watched, peak_mb, peak_mb_of_others
from workload import ledgers, planned

HERE = Path(__file__).parent
SIZES = {
    "cells": (10, 100, 1_000),
    "examples that prototypes read": (1_000, 10_000, 100_000),
    "examples that fine-tuning draws from": (1_000, 10_000, 100_000),
    "features that a probe sees": (64, 512, 4_096),
}
SIDE, CLASSES, TESTED = 16, 10, 500
LABELS = 20
"""A class, where the number of examples is not what grows."""
RECORDS = 10_000
"""Of the ledger that is judged."""
SECONDS = 4.0
"""That each verb may take of it."""
AFTER = 2
"""Cells that have run before anything is counted."""


def cells(told: Told, number: int) -> Found:
    """Run probes, each of a new seed."""
    return _of(told, _probe(), 1_000, range(number))


def read(told: Told, number: int) -> Found:
    """Run a cell of prototypes, of all labels."""
    from transfergrid.strategies.closed_form.prototypes import Prototypes

    return _of(told, Prototypes(), number, [told.seed], "all")


def drawn_from(told: Told, number: int) -> Found:
    """Run a cell of full fine-tuning, of all labels."""
    from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning

    return _of(told, FullFinetuning(), number, [told.seed], "all")


def features(told: Told, number: int) -> Found:
    """Run a probe of embeddings that are so wide."""
    return _of(told, _probe(), 1_000, [told.seed], width=number)


def _probe() -> Any:
    from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction

    return FeatureExtraction()


def _of(
    told: Told,
    strategy: Any,
    examples: int,
    seeds: Sequence[int],
    labels: Any = LABELS,
    width: int = 64,
) -> Found:
    """Run these seeds of a cell, after a few that warm the process."""
    from transfergrid.data.arrays import Arrays
    from transfergrid.data.glyphs import Glyphs
    from transfergrid.records.training import Training
    from transfergrid.runs.cell import run_cell
    from transfergrid.runs.machine import Machine
    from transfergrid.runs.memory import end_of_cell
    from transfergrid.sources.small_cnn import SmallCNN
    from transfergrid.sources.trained_here import TrainedHere

    atexit.register(gc.unfreeze)  # libraries complain of what is frozen when the process ends
    training = Training(steps=told.steps or 20, augmentation="none", validations=2)
    printed = Glyphs(size=SIDE, per_class=20, test_per_class=5)
    source = TrainedHere(SmallCNN(SIDE, 1, (8, 16, width)), printed, Training(steps=5))
    machine, scores = Machine(told.accelerator, threads=1), []
    with tempfile.TemporaryDirectory() as folder, ledgers() as ledger:
        small, large = (_archive(Path(folder), n) for n in (1_000, examples))
        before = [*range(10_000, 10_000 + AFTER)]
        made = partial(planned, strategy=strategy, trainings=[training])
        for cell in made((source, Arrays(str(small))), labels=[LABELS], seeds=before):
            run_cell(cell, ledger("warm"), machine)
        own = made((source, Arrays(str(large))), labels=[labels], seeds=seeds)
        with Watched() as watched:
            for cell in own:
                scores.append(run_cell(cell, ledger("warm"), machine).score)
                end_of_cell()  # as a worker does
    score = float(np.mean([s for s in scores if s is not None]))
    return {**watched.found, "cells": len(own), "score": score, "peak": peak_mb()}


def _archive(folder: Path, examples: int) -> Path:
    """Write images of ten patterns in noise."""
    file = folder / f"{examples}.npz"
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 128, (CLASSES, SIDE, SIDE), dtype=np.uint8)
    told: dict[str, Any] = {}
    for part, number in (("train", examples), ("test", TESTED)):
        labels = rng.permutation(np.arange(number) % CLASSES)
        noise = rng.integers(0, 128, (number, SIDE, SIDE), dtype=np.uint8)
        told |= {f"x_{part}": patterns[labels] + noise, f"y_{part}": labels}
    np.savez(file, **told)
    return file


def judging(told: Told) -> Found:
    """Judge a made-up ledger; the seconds are of the processor, of whole commands."""
    sys.path.insert(0, str(HERE.parent / "benchmarks"))
    from growth import INDEX, VERBS
    from made_up import fill

    from transfergrid.records.ledgers.ledger import Ledger

    found: Found = {"cells": 1}
    with tempfile.TemporaryDirectory() as folder, Watched() as watched:
        ledger = Ledger(Path(folder) / "results")
        fill(ledger, RECORDS)
        commands = {"the index": [sys.executable, "-c", INDEX, str(ledger.root)]}
        for name, (verb, *options) in VERBS.items():
            to = ["-o", f"{folder}/report.html"] if verb == "report" else []
            program = [sys.executable, "-m", "transfergrid", verb, str(ledger.root)]
            commands[name] = [*program, *options, *to]
        for name, command in commands.items():
            with Watched() as own:
                subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            found[name] = own.cpu
    return {**found, **watched.found, "peak": peak_mb_of_others()}


RUNS: dict[str, Callable[..., Found]] = dict(
    zip(SIZES, (cells, read, drawn_from, features), strict=True)
)
ARMS = {
    f"{number:,} {name}": partial(RUNS[name], number=number)
    for name, numbers in SIZES.items()
    for number in numbers
} | {"judging": judging}


def experiment() -> Experiment:
    """Return the running side."""
    arms = {name: Arm(name) for name in ARMS if name != "judging"}
    wanted = []
    for what, numbers in SIZES.items():
        first, *_, last = (f"{number:,} {what}" for number in numbers)
        own = {"cells": 1.1}.get(what, numbers[-1] / numbers[0])
        each = "a cell's time" if what == "cells" else "time"
        wanted += [Wanted(f"{each}: {last} / {numbers[0]:,}", last, first, most=own)]
    last, first = (f"{n:,} cells" for n in (SIZES["cells"][-1], SIZES["cells"][0]))
    wanted += [Wanted(f"peak memory: {last} / {first}", last, first, most=1.1, key="peak")]
    return Experiment("growth, a cell", "growing", arms, wanted)


def of_verbs() -> Experiment:
    """Return the side that judges."""
    name = f"judging {RECORDS:,} cells"
    verbs = ("the index", "verdicts", "table", "curves", "curves over steps", "report")
    wanted = [
        Wanted(f"{verb} of {RECORDS:,} cells, s", name, most=SECONDS, key=verb) for verb in verbs
    ]
    return Experiment("judging", "growing", {name: Arm("judging")}, wanted)


# The plot ----------------------------------------------------------------------------------------


def rows(found: Mapping[str, Sequence[Found]]) -> list[dict[str, Any]]:
    """Return a row for each size: what grows, how many, processor seconds, MB."""
    listed = []
    for what, numbers in SIZES.items():
        for number in numbers:
            rounds = found[f"{number:,} {what}"]
            told = {key: float(np.median([r[key] for r in rounds])) for key in ("cpu", "peak")}
            row = {"what": what, "number": number, "seconds": round(told["cpu"], 3)}
            listed.append({**row, "MB": round(told["peak"])})
    return listed


def save(listed: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows as CSV, and draw them: seconds above, memory below, by what grows."""
    import altair as alt

    lines = ["what,number,seconds,MB", *(",".join(map(str, row.values())) for row in listed)]
    (HERE / "growth.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    logarithmic = alt.Scale(type="log")
    charts = []
    for key, scale in (("seconds", logarithmic), ("MB", alt.Scale(domainMin=0))):
        panels = []
        for what in SIZES:
            own = alt.Data(values=[dict(row) for row in listed if row["what"] == what])
            sizes = alt.Axis(values=[row["number"] for row in listed if row["what"] == what])
            x = alt.X("number:Q", scale=logarithmic, title=what, axis=sizes)
            y = alt.Y(f"{key}:Q", scale=scale, title=key)
            line = alt.Chart(own).mark_line(point=True, color="#0072B2")
            panels.append(line.encode(x=x, y=y).properties(width=170, height=130))
        charts.append(alt.hconcat(*panels))
    alt.vconcat(*charts).save(HERE / "growth.svg")
