"""What a ledger of 100,000 cells costs to look at: seconds of `status`, `plan` and `table`.

    OMP_NUM_THREADS=1 python experiments/benchmarks/large.py [CELLS [FOLDER [SRC]]]

The cells are those of one grid, as it is planned, so that `plan` finds them done; what came of them
is made up, and their predictions are those of fifty variants (hard links). Making it takes some ten
minutes and 2 GB; a FOLDER that has it already is measured again. Each line is a whole command with
its start. Where other programs use the machine, processor seconds still compare, and best so with
those of another version, whose SRC is measured in turn with this one. Wanted: 5 s each.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
from growth import INDEX, measure, used
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from made_up import CLASSES, ITEMS, NAMES, curves, predictions, scores
from planning import DEFAULTS, REQUEST

from transfergrid.evidence.declared.declarations import Declaration
from transfergrid.records.cell import Cell
from transfergrid.records.files import arrays
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.provenance import identified, now
from transfergrid.records.record import Chosen, Cost, Data, Scores, Seconds, Status
from transfergrid.records.shipped import conf_dir
from transfergrid.verbs.asking import ask
from transfergrid.verbs.configs.composing import Composer
from transfergrid.verbs.configs.requests import read_request
from transfergrid.verbs.sweep import make_plan

VARIANTS = 50
LEFT = 100
"""Cells of the grid that are not done, so that there is something to wait for."""


def planned() -> list[Cell]:
    """Return the cells of the grid."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        defaults = {**DEFAULTS, "source": "glyph_digits", "strategy": "scratch"}
        request = read_request(REQUEST, {}, defaults, hydra.config_loader)
        composer = Composer(hydra.config_loader, "config", request.settings)
        references = ["majority", "logistic_regression", "ridge_regression"]
        return make_plan(ask(request, composer), composer, references).cells


def variants(folder: Path) -> list[tuple[Path, Scores]]:
    """Write what cells said and their curves; return where, with their scores."""
    rng, found = np.random.default_rng(0), []
    hard = rng.normal(size=ITEMS)
    for number in range(VARIANTS):
        place = folder / str(number)
        place.mkdir(parents=True)
        said = predictions(0.6 + 0.3 * number / VARIANTS, hard, rng)
        arrays.save(place / "predictions.npz", said.checked().arrays())
        arrays.save(place / "curves.npz", curves(rng))
        found.append((place, scores(said)))
    return found


def fill(ledger: Ledger, number: int) -> int:
    """Write so many done cells, and the grid that asked for them."""
    cells = planned()
    made = variants(ledger.root / "tmp" / "variants")
    data = Data(train=20, validation=5, test=ITEMS, classes=NAMES)
    assert len(NAMES) == CLASSES
    done = 0
    for count, cell in enumerate(islice(cells, min(number, len(cells) - LEFT))):
        place, scored = made[hash(cell.id) % VARIANTS]
        record = identified(
            cell,
            Status.DONE,
            scores=scored,
            data=data,
            chosen=Chosen(step=180, by="validation"),
            cost=Cost(seconds=Seconds(train=5.0, total=6.0 + count % 7), peak_memory_bytes=10**9),
        )
        folder = ledger.folder(cell.id)
        folder.mkdir(parents=True)
        for name in ("predictions.npz", "curves.npz"):
            os.link(place / name, folder / name)
        (folder / "record.json").write_text(replace(record, study="large").to_json())
        done += 1
    compared = {
        cell.id: {
            "baseline": asdict(cell.baseline) if cell.baseline else None,
            "exploratory": [asdict(other) for other in cell.exploratory],
            "contaminated_by": [],
        }
        for cell in cells
    }
    declared = Declaration(seeds=tuple(range(75)))
    asked = {"id": "0" * 16, "asked": now(), "cells": compared, "study": "large"}
    ledger.write_document("grids", {**asked, "declaration": declared.plain()})
    return done


def main(number: int, folder: Path, other: str | None = None) -> None:
    ledger = Ledger(folder / "results")
    if not ledger.exists():
        print(f"{fill(ledger, number):,} cells", flush=True)
        print(f"  index   {measure([sys.executable, '-c', INDEX, str(ledger.root)])}", flush=True)
    verbs = {
        "status": ["status", str(ledger.root)],
        "plan": ["plan", *REQUEST, f"results={ledger.root}"],
        "table": ["table", str(ledger.root), "--format", "csv"],
    }
    for name, words in verbs.items():
        command = [sys.executable, "-m", "transfergrid", *words]
        if other is None:
            print(f"  {name:8}{measure(command)}", flush=True)
            continue
        before, now = used(command, other)[0], used(command)[0]
        told = f"{before:6.1f} s of processor before, {now:6.1f} s now: {now / before:.2f}"
        print(f"  {name:8}{told}", flush=True)


if __name__ == "__main__":
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as made:
        where = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(made)
        main(cells, where, sys.argv[3] if len(sys.argv) > 3 else None)
