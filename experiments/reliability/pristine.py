"""A small study with one of everything that a user can be handed: what mutations are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.declared.declarations import Declaration
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.records.cell import PROTOCOL, Names, Parts, Reference
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.findings import Diagnostics, Forgetting, Optimisation, Probe
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Data, Metric, Record, Scores, Status
from transfergrid.report.tables.sheet import render
from transfergrid.report.views import verdict_table

ITEMS, CLASSES, SEEDS = 40, ("cat", "dog"), 3
ARMS = (("birds", "full_finetuning", 0.8), ("insects", "probe", 0.7))
RNG = np.random.default_rng(0)


def digest(*parts: object) -> str:
    """Return 16 hex digits that stand for some parts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Study:
    """Where the parts of a pristine study lie, below one folder."""

    root: Path
    cells: tuple[str, ...]

    @property
    def results(self) -> Path:
        """The ledger's folder."""
        return self.root / "results"

    @property
    def model(self) -> Path:
        """A model as `transfergrid export` writes it; it need not be there."""
        return self.root / "model"

    @property
    def table(self) -> Path:
        """Runs made elsewhere."""
        return self.root / "runs.csv"


def build(root: Path, with_model: bool = True) -> Study:
    """Write a study below a folder that is empty.

    Half of its ledger is indexed. Beside it lie a table of runs, saved verdicts, texts, pictures
    and a package that nobody may import. A model takes some seconds, and torch.
    """
    ledger = Ledger(root / "results")
    cells = [cell for block in _blocks() for cell in block]
    half = len(cells) // 2
    for record, said in cells[:half]:
        ledger.write(record, said, _curves())
    ledger.compact()
    for record, said in cells[half:]:
        ledger.write(record, said, _curves())
    _fail(ledger, cells[0][0])
    _ask(ledger, [record for record, _ in cells])
    _beside(root, [record for record, _ in cells])
    names = [record.id for record, _ in cells]
    return Study(root, (*names, *([keep_model(root)] if with_model else [])))


def _blocks() -> Iterator[list[tuple[Record, Predictions]]]:
    """Yield the cells of each target and label budget, baselines first."""
    for target, labels, metric in (
        ("pets", 5, "accuracy"),
        ("pets", 20, "accuracy"),
        ("scans", "all", "auroc"),
    ):
        base = [_cell(None, "scratch", target, labels, s, 0.6, metric) for s in range(SEEDS)]
        yield base
        for source, strategy, reached in ARMS:
            arm = [
                _cell(source, strategy, target, labels, s, reached, metric) for s in range(SEEDS)
            ]
            named = [
                replace(
                    record,
                    baseline=Reference(name="scratch", id=other.id) if source else None,
                )
                for (record, _), (other, _) in zip(arm, base, strict=True)
            ]
            yield [(record, said) for record, (_, said) in zip(named, arm, strict=True)]


def _cell(
    source: str | None,
    strategy: str,
    target: str,
    labels: Any,
    seed: int,
    accuracy: float,
    metric: str,
) -> tuple[Record, Predictions]:
    said = _said(accuracy)
    score = float(said.correct().mean())
    scores: dict[str, float | None] = {"accuracy": score, "auroc": score, "ece": 0.1, "loss": 0.5}
    config = {
        "source": _source(source) if source else None,
        "strategy": {
            "_target_": f"transfergrid.strategies.{strategy}.X",
            "lr_factor": 1.0,
            "about": {"needs": {"source": "weights" if source else "none"}},
        },
        "target": {"_target_": "transfergrid.data.digits.Digits", "about": {"paths": ["root"]}},
        "training": {"_target_": "transfergrid.records.training.Training", "steps": 10},
        "labels": labels,
        "seed": seed,
    }
    record = Record(
        protocol=PROTOCOL,
        id=digest(source, strategy, target, labels, seed),
        status=Status.DONE,
        names=Names(strategy=strategy, target=target, source=source, architecture="small_cnn"),
        parts=Parts(
            strategy=digest(strategy),
            target=digest("target", target),
            source=digest("source", source),
            training=digest("training"),
        ),
        labels=labels,
        seed=seed,
        config=config,
        metric=Metric(name=metric),
        scores=Scores(train=dict(scores), validation=dict(scores), test=dict(scores)),
        data=Data(
            train=_train(labels),
            validation=4,
            test=ITEMS,
            classes=CLASSES,
            notes={"cut_texts": {"pool": 1}, "duplicates": {"exact": 1, "near": 0}},
        ),
        source=_card() if source else None,
        diagnostics=_noted(),
        versions={"torch": "2.8"},
        study="pristine",
        started="2026-11-21T11:00:00+00:00",
        finished="2026-11-21T12:00:00+00:00",
    )
    return record, said


def _train(labels: Any) -> int:
    return 200 if labels == "all" else int(labels) * len(CLASSES)


def _source(name: str) -> dict[str, Any]:
    about = {"start": "start", "paths": ["file"]}
    domain = {"_target_": "transfergrid.data.digits.Digits", "about": {}}
    return {
        "_target_": "transfergrid.sources.trained_here.TrainedHere",
        "name": name,
        "architecture": {"_target_": "transfergrid.sources.small_cnn.SmallCnn"},
        "domain": domain,
        "start": None,
        "about": about,
    }


def _card() -> dict[str, Any]:
    card = {"origin": "made up", "licence": "CC0-1.0", "trained_on": ["nothing"]}
    made = {"steps": 100, "train_examples": 50, "seconds": 2.0}
    return {**made, "fingerprint": digest("weights"), "card": card, "notes": {}}


def _noted() -> Diagnostics:
    probe = Probe(n=20, chance=0.5, knn=0.7, linear=0.75)
    return Diagnostics(
        examples=20,
        optimisation=Optimisation(first_loss=1.0, last_loss=0.1, head_change=2.0),
        forgetting=Forgetting(before=probe, after=probe),
    )


def _said(accuracy: float) -> Predictions:
    labels = np.arange(ITEMS, dtype=np.int64) % 2
    right = RNG.random(ITEMS) < accuracy
    sure = RNG.uniform(0.55, 0.95, ITEMS)
    first = np.where(right == (labels == 0), sure, 1 - sure)
    groups = np.array([f"patient {i % 5}" for i in range(ITEMS)])
    return Predictions(np.stack([first, 1 - first], axis=1).astype(np.float32), labels, groups)


def _curves() -> dict[str, NDArray[Any]]:
    steps = np.arange(1, 6)
    return {
        "train_step": steps,
        "examples_seen": 8 * steps,
        "train_loss": 1.0 / steps,
        "validation_step": steps,
        "validation_score": 0.5 + 0.05 * steps,
        "validation_loss": 1.0 / steps,
    }


def _fail(ledger: Ledger, like: Record) -> None:
    missing = replace(like, seed=SEEDS, id=digest("failed"), status=Status.FAILED, scores=Scores())
    for reason in ("out of memory", "diverged"):
        ledger.fail(replace(missing, reason=reason), "Traceback ...")


def _ask(ledger: Ledger, cells: list[Record]) -> None:
    compared: dict[str, dict[str, Any]] = {
        cell.id: {
            "baseline": asdict(cell.baseline) if cell.baseline else None,
            "exploratory": [],
            "contaminated_by": [],
        }
        for cell in cells
    }
    declared = Declaration(seeds=tuple(range(SEEDS)), max_seeds=10).plain()
    left_out = [{"cell": "a x b", "reason": "takes images"}]
    grid = {"id": digest("grid"), "study": "pristine", "asked": "2026-11-21T10:00:00+00:00"}
    asked = {"cells": compared, "wanted": sorted(compared), "left_out": left_out}
    ledger.write_document("grids", {**grid, "declaration": declared, **asked})
    part = {cell.id: compared[cell.id] for cell in cells[: len(cells) // 2]}
    ledger.write_document("grids", {"id": digest("other grid"), "declaration": {}, "cells": part})
    bench = bench_of(ledger)
    bench.note_look(bench.verdicts(), "verdicts")
    kept = {"id": digest("pair"), "source_parts": [digest("source", "birds")], "labels": 5}
    value = {"value": 0.5, "low": 0.0, "high": 1.0}
    more = {"target_part": digest("target", "pets"), "source": "birds", "target": "pets"}
    scores = {"seed": 0, "notes": {}, "values": {"ab": value}, "names": {"ab": "knn"}}
    ledger.write_document("scores", {**kept, **more, **scores, "seconds": 1.0})


COLUMNS = ("source", "strategy", "target", "labels", "seed", "score")


def _beside(root: Path, cells: list[Record]) -> None:
    lines = [",".join(COLUMNS)]
    for cell in cells:
        names = cell.names
        if cell.metric.name == "accuracy" and names.strategy != "majority":
            arm = (names.source or "", names.strategy, names.target, cell.labels, cell.seed)
            lines.append(",".join(map(str, (*arm, cell.score))))
    (root / "runs.csv").write_text("\n".join(lines) + "\n")
    (root / "texts.txt").write_text("a text\nanother\n")
    evil = root / "results" / "evil"
    evil.mkdir()
    for folder in (evil, root / "evil"):
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").write_text("class X: pass\n")
    (root / "evil_module.py").write_text("class X: pass\n")
    bench = bench_of(Ledger(root / "results"))
    (root / "saved.json").write_text(render(verdict_table.sheet(bench.verdicts()), "json"))


def keep_model(root: Path) -> str:
    """Train a small model, keep and export it, and return its cell's id."""
    from PIL import Image

    from transfergrid.api import _option
    from transfergrid.data.digits import Digits
    from transfergrid.records.training import Training
    from transfergrid.runs.cell import run_cell
    from transfergrid.runs.machine import Machine
    from transfergrid.runs.planning.grid import Planner
    from transfergrid.runs.planning.plan import Asked
    from transfergrid.strategies.baselines.logistic_regression import LogisticRegression
    from transfergrid.testing import TinySource
    from transfergrid.verbs.exporting import export

    ledger = Ledger(root / "results")
    parts = {"sources": TinySource(), "strategies": LogisticRegression(), "targets": Digits()}
    options = {name: [_option(part)] for name, part in parts.items()}
    asked = Asked(**options, trainings=[_option(Training())], labels=[5], seeds=[0])
    plan = Planner(lambda name: options["strategies"][0]).plan(asked)
    (cell,) = [cell for cell in plan.cells if cell.id in plan.wanted]
    run_cell(cell, ledger, Machine(accelerator="cpu", threads=1), keep="all")
    export(ledger, cell.id, root / "model")
    (root / "pictures").mkdir()
    Image.new("L", (8, 8), 90).save(root / "pictures" / "one.png")
    return cell.id
