"""Probes of MobileNetV2 on photographs of flowers: what computing features once is worth.

A grid of 5 seeds x 8 penalties x 2 label budgets is run in a warm process, without augmentation and
baselines. Beside it, round by round: the same cells by an earlier checkout of this program (a few
of them, the grid's time by their mean); a plain loop that runs the network at every step; and
scikit-learn's logistic regression, one problem after another, on features in memory that were
computed once. Run by `run.py 1`.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

from side_by_side import Arm, Experiment, Found, Told, Wanted, Watched
from workload import flowers, ledgers, planned

PENALTIES = tuple(10.0**-power for power in range(8))
BUDGETS, SEEDS = (5, 20), range(5)
STEPS, BATCH, LR = 60, 16, 0.03
GRID, SOME = len(PENALTIES) * len(BUDGETS) * len(SEEDS), 3
"""Cells of the grid, and those that what is slow runs in a round."""


def grid(steps: int | None = None) -> list[Any]:
    """Return the cells of the grid."""
    from transfergrid.records.training import Training
    from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction

    plain = Training(
        steps=steps or STEPS, batch_size=BATCH, lr=LR, augmentation="none", validations=5
    )
    trainings = [replace(plain, weight_decay=penalty) for penalty in PENALTIES]
    return planned(flowers(), FeatureExtraction(lr_factor=1.0), trainings, BUDGETS, SEEDS)


def product(told: Told) -> Found:
    """Run the grid, or some of its cells, evenly spread, after one that warms the process."""
    from transfergrid.runs.cell import run_cell
    from transfergrid.runs.machine import Machine

    machine, own = Machine(accelerator=told.accelerator, threads=1), grid(told.steps)
    if hasattr(machine, "diagnostics"):
        machine = replace(machine, diagnostics="short")
    some = own[:: max(1, len(own) // told.cells)][: told.cells]
    with ledgers() as ledger:
        run_cell(some[-1], ledger("warm"), machine)
        with Watched() as watched:
            scores = [run_cell(cell, ledger("measured"), machine).score for cell in some]
    score = statistics.fmean(s for s in scores if s is not None)
    return {**watched.found, "cells": len(some), "score": score}


def _parts(told: Told) -> Any:
    """Return the network, its images as inputs with labels, and the rows of each seed block."""
    import torch

    from transfergrid.data.opened import OpenDomain
    from transfergrid.records.factory import build

    own = grid(told.steps)
    backbone = build(own[0].config["source"]).initial().eval()
    domain = OpenDomain(own[0].config["target"])
    pool, test = (domain.whole(split, backbone.preprocess) for split in ("pool", "test"))
    blocks = [domain.draw(labels, seed) for labels in BUDGETS for seed in SEEDS]
    images = [view.inputs(view.rows) for view in (pool, test)]
    labels = [torch.from_numpy(view.labels) for view in (pool, test)]
    torch.set_num_threads(1)
    return backbone, images, labels, blocks


def loop(told: Told) -> Found:
    """Train heads by a plain loop that runs the network at each step and for the test part."""
    import torch
    from torch import nn

    backbone, (pool, test), (own, truth), blocks = _parts(told)
    every = [(block, penalty) for block in blocks for penalty in PENALTIES]
    some, scores = every[:: max(1, len(every) // told.cells)][: told.cells], []
    with Watched() as watched:
        for block, penalty in some:
            head = nn.Linear(backbone.dim, 5)
            optimiser = torch.optim.AdamW(head.parameters(), LR, weight_decay=penalty)
            for _ in range(told.steps or STEPS):
                rows = torch.from_numpy(block.train)[torch.randperm(len(block.train))[:BATCH]]
                with torch.no_grad():
                    features = backbone.embed(pool[rows])
                loss = nn.functional.cross_entropy(head(features), own[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            with torch.no_grad():
                said = torch.cat([head(backbone.embed(part)) for part in test.split(16)])
            scores.append(float((said.argmax(1) == truth).float().mean()))
    return {**watched.found, "cells": len(some), "score": statistics.fmean(scores)}


def sklearn(told: Told) -> Found:
    """Fit scikit-learn's logistic regression to features that are in memory, one by one."""
    import torch
    from sklearn.linear_model import LogisticRegression

    backbone, images, (own, truth), blocks = _parts(told)
    with torch.no_grad():
        pool, test = (
            torch.cat([backbone.embed(part) for part in split.split(16)]).numpy()
            for split in images
        )
    scores = []
    with Watched() as watched:
        for block in blocks:
            for penalty in PENALTIES:
                fitted = LogisticRegression(C=1 / (penalty * len(block.train)), max_iter=1000)
                fitted.fit(pool[block.train], own.numpy()[block.train])
                scores.append(float(fitted.score(test, truth.numpy())))
    return {**watched.found, "cells": len(scores), "score": statistics.fmean(scores)}


ARMS = {"product": product, "loop": loop, "sklearn": sklearn}
OURS, BEFORE = "the product", "the product before features were kept"
LOOP, SKLEARN = "a plain loop that runs the network at each step", "scikit-learn, one by one"


def experiment(before: str | None = None) -> Experiment:
    """Return it, with an arm of an earlier checkout if there is one."""
    arms = {OURS: Arm("product", GRID), LOOP: Arm("loop", SOME), SKLEARN: Arm("sklearn", GRID)}
    if before is not None:
        arms[BEFORE] = Arm("product", SOME, before)
    wanted = [
        Wanted("probes: before / the product", BEFORE, OURS, least=20),
        Wanted("probes: a plain loop / the product", LOOP, OURS, least=20),
        Wanted("probes: scikit-learn / the product", SKLEARN, OURS, least=3),
    ]
    return Experiment(f"probes, {GRID} cells", "probes", arms, wanted, GRID)
