"""A made-up ledger as a finished grid leaves it, with all that its readers open.

Five targets, four label budgets, five seeds, and two arms without a source beside sources (one of
them a placebo) by ten strategies. Records are as full as those of `study=digits`; beside each lie
500 predictions and the curves of its training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.declared.declarations import Declaration
from transfergrid.records import shipped
from transfergrid.records.cell import PROTOCOL, Names, Parts, Reference
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.findings import (
    BatchNorm,
    Diagnostics,
    Drift,
    Features,
    Forgetting,
    Head,
    Optimisation,
    Priors,
    Probe,
    Statistics,
)
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import (
    Budget,
    Chosen,
    Cost,
    Data,
    Machine,
    Metric,
    Record,
    Scores,
    Seconds,
    Status,
)

TARGETS, LABELS, SEEDS = 5, (2, 5, 20, "all"), 5
ITEMS, CLASSES, STEPS, CHECKS = 500, 10, 50, 10
ALONE = ("scratch", "scratch_converged")
STRATEGIES = (
    *("full_finetuning", "feature_extraction", "layerwise_lr", "distillation", "l2_sp"),
    *("gradual_unfreezing", "linear_probe_then_finetuning", "prototypes", "multitask", "pcgrad"),
)
CLASSES_OF = shipped.strategies()
BLOCKS = ("stem", "layer1", "layer2", "layer3", "layer4")
NAMES = tuple(f"class {i}" for i in range(CLASSES))
Arm = tuple[str | None, str]
"""Source and strategy."""


def digest(*names: object) -> str:
    """Return 16 hex digits that stand for some names."""
    return hashlib.sha256(repr(names).encode()).hexdigest()[:16]


def fill(ledger: Ledger, number: int, metric: str = "accuracy") -> int:
    """Write about so many cells and the grid that asked for them; return how many it were.

    They are not indexed yet.
    """
    rng = np.random.default_rng(0)
    there = list(islice(arms(), number // (TARGETS * len(LABELS) * SEEDS)))
    compared: dict[str, dict[str, Any]] = {}
    for target, labels in product(range(TARGETS), LABELS):
        hard = rng.normal(size=ITEMS)
        for arm in there:
            gain = rng.normal(0.0, 0.05)
            for seed in range(SEEDS):
                said = predictions(0.6 + gain + rng.normal(0.0, 0.01), hard, rng)
                record = cell(arm, f"target_{target}", labels, seed, said, metric, there)
                ledger.write(record, said, curves(rng))
                compared[record.id] = {
                    "baseline": asdict(record.baseline) if record.baseline else None,
                    "exploratory": [asdict(other) for other in record.exploratory],
                    "contaminated_by": [],
                }
    declared = Declaration(seeds=tuple(range(SEEDS)))
    asked = {"id": "0" * 16, "asked": "2026-11-21T11:00:00+00:00", "cells": compared}
    ledger.write_document("grids", {**asked, "declaration": declared.plain()})
    return len(compared)


def arms() -> Iterator[Arm]:
    """Yield the arms without a source, then source by source those with one, a placebo second."""
    yield from ((None, strategy) for strategy in ALONE)
    sources = ("source_0", "placebo", *(f"source_{i}" for i in range(1, 1_000)))
    yield from product(sources, STRATEGIES)


def predictions(
    accuracy: float, hard: NDArray[np.float64], rng: np.random.Generator
) -> Predictions:
    """Return what a run says that gets so many of the items right, the hard ones less often."""
    own = 0.8 * hard + 0.6 * rng.normal(size=ITEMS)
    right = own < np.quantile(own, np.clip(accuracy, 0.02, 0.995))
    labels = np.arange(ITEMS) % CLASSES
    told = rng.normal(size=(ITEMS, CLASSES))
    told[np.arange(ITEMS), np.where(right, labels, (labels + 3) % CLASSES)] += 6.0
    told = np.exp(told)
    return Predictions((told / told.sum(axis=1, keepdims=True)).astype(np.float32), labels)


def curves(rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return the curves of a training."""
    steps, checks = np.arange(4, 4 * STEPS + 1, 4), np.arange(20, 20 * CHECKS + 1, 20)
    return {
        "train_step": steps,
        "examples_seen": 32 * steps,
        "train_loss": 2.3 / steps + rng.normal(0.0, 0.01, STEPS),
        "validation_step": checks,
        "validation_score": np.clip(0.6 - 1 / checks + rng.normal(0.0, 0.02, CHECKS), 0, 1),
        "validation_loss": 2.3 / checks + rng.normal(0.0, 0.01, CHECKS),
    }


def cell(
    arm: Arm,
    target: str,
    labels: Any,
    seed: int,
    said: Predictions,
    metric: str,
    there: list[Arm],
) -> Record:
    """Return one cell's record, as compared with those of the arms that are there."""
    source, strategy = arm
    others = [(None, "scratch_converged"), (source, "full_finetuning")] if source else []
    return Record(
        protocol=PROTOCOL,
        id=identity(arm, target, labels, seed),
        status=Status.DONE,
        names=Names(
            strategy=strategy, target=target, source=source, architecture="test_resnet",
            training="default",
        ),
        parts=Parts(
            strategy=digest("strategy", strategy), target=digest("target", target),
            source=digest("source", source), training=digest("training"),
        ),
        labels=labels,
        seed=seed,
        config=config(arm, target, labels, seed),
        baseline=None if strategy == "scratch" else _named((None, "scratch"), target, labels, seed),
        exploratory=tuple(
            _named(other, target, labels, seed) for other in others if other in there
            and other != arm
        ),
        metric=Metric(name=metric),
        scores=scores(said),
        chosen=Chosen(step=180, by="validation"),
        budget=Budget(steps=200, target_batches=200, validation_checks=CHECKS, tuning_trials=4),
        data=Data(
            train=20, validation=5, test=ITEMS, classes=NAMES, per_class=dict.fromkeys(NAMES, 2)
        ),
        cost=Cost(
            seconds=Seconds(load=0.1, train=5.0 + seed, evaluate=0.4, total=6.0 + seed),
            peak_memory_bytes=1_000_000_000, parameters=373_370, parameters_trained=970,
            flops_forward=2_414_976,
        ),
        source=card(source) if source else None,
        diagnostics=diagnostics(bool(source), seed),
        machine=Machine(device="AMD EPYC", threads=1, precision="32-true", platform="Linux"),
        versions={"python": "3.11.7", "transfergrid": "0.1.0", "torch": "2.15.0"},
        commit="14b1218ae0c4",
        code=digest("code", strategy),
        study="made_up",
        started="2026-11-21T12:00:00+00:00",
        finished="2026-11-21T12:00:06+00:00",
    )  # fmt: skip


def _named(arm: Arm, target: str, labels: object, seed: int) -> Reference:
    return Reference(name=arm[1], id=identity(arm, target, labels, seed))


def identity(arm: Arm, target: str, labels: object, seed: int) -> str:
    """Return a cell's identity."""
    return digest(arm, target, labels, seed)


def scores(said: Predictions) -> Scores:
    """Return the scores of these predictions, and some on the other parts."""
    from transfergrid.evidence.measured.scoring import value_of

    names = ("accuracy", "macro_f1", "auroc", "ece", "loss")
    test = {name: value_of(name, said) for name in names}
    return Scores(train={**test, "accuracy": 0.99}, validation=test, test=test)  # type: ignore


def config(arm: Arm, target: str, labels: object, seed: int) -> dict[str, Any]:
    """Return a config with as many keys as those of shipped parts."""
    source, strategy = arm
    training = {"_target_": "transfergrid.training.Training", "steps": 200, "about": _about()}
    training |= {f"key_{i}": i for i in range(10)}
    kind = "placebo.Placebo" if source == "placebo" else "trained_here.TrainedHere"
    made: dict[str, Any] = {"_target_": f"transfergrid.sources.{kind}", "start": None, "seed": 0}
    made |= {"name": source, "training": training, "about": _about() | {"start": "start"}}
    made |= {"domain": {"_target_": "transfergrid.data.glyphs.Glyphs", "about": _about()}}
    needs = {"source": "weights" if source else "architecture"}
    return {
        "source": made if source else None,
        "strategy": {
            "_target_": CLASSES_OF[strategy], "lr_factor": 1.0,
            "about": _about() | {"needs": needs},
        },
        "target": {"_target_": "made_up.Target", "name": target, "sampling": "balanced"}
        | {"about": _about()},
        "labels": labels,
        "seed": seed,
        "training": training,
    }  # fmt: skip


def _about() -> dict[str, Any]:
    return {"help": "what it is for", "version": 1, "paths": [], "descriptive": ["part_of"]}


def card(source: str) -> dict[str, Any]:
    """Return what a source says of itself."""
    return {
        "content": digest(source), "seed": 0, "steps": 400, "train_examples": 3_200,
        "own_test": {"accuracy": 0.99, "macro_f1": 0.99, "loss": 0.01}, "seconds": 30.0,
        "fingerprint": digest("fingerprint", source), "notes": {},
        "card": {"origin": "trained here", "trained_on": ["Glyphs"]},
    }  # fmt: skip


def diagnostics(transferred: bool, seed: int) -> Diagnostics:
    """Return what a cell noted about itself."""
    probe = Probe(n=20, chance=0.1, knn=0.6 + 0.01 * seed, linear=0.5 + 0.01 * seed)
    lost = Probe(n=100, chance=0.1, knn=0.5, linear=0.4)
    shift = Statistics(
        layers=15, mean_shift=0.2, log_variance=0.5, worst_layer="layer3.0.downsample.2",
        worst_mean_shift=0.3, worst_log_variance=0.7,
    )  # fmt: skip
    fifths = (0.1,) * CLASSES
    return Diagnostics(
        examples=128,
        optimisation=Optimisation(first_loss=2.3, last_loss=0.03, head_change=6.0),
        features=Features(random=probe, before=probe, renormalised=probe, after=probe),
        head=Head(on="train", n=20, trained=1.0, refitted=0.6),
        batch_norm=BatchNorm(before=shift, after=shift),
        drift=Drift(blocks=BLOCKS, weights=(0.1,) * 5, cka=(0.9,) * 5, embedding_cka=0.8),
        priors=Priors(given=fifths, predicted=fifths),
        forgetting=Forgetting(before=probe, after=lost) if transferred else None,
        skipped={"domains": "no source domain"},
    )
