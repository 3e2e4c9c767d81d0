"""Probes of MobileNetV2 on photographs of flowers: what computing features once is worth.

    OMP_NUM_THREADS=1 python experiments/speed/probes.py [--before CHECKOUT] [--rounds 5]

A grid of 5 seeds x 8 penalties x 2 label budgets is run in a warm process, without augmentation and
baselines. Beside it, round by round: the same cells by an earlier checkout of this program (a few
of them, the grid's time by their mean); a plain loop that runs the network at every step; and
scikit-learn's logistic regression, one problem after another, on features in memory that were
computed once. Prints seconds of wall and processor, the ratios, and the mean accuracies.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("TRANSFERGRID_DATA", "../shared/data"))
WEIGHTS = DATA / "weights/mobilenetv2_100.tf2_ptq_in1k/model.safetensors"
PENALTIES = tuple(10.0**-power for power in range(8))
BUDGETS, SEEDS = (5, 20), range(5)
STEPS, BATCH, LR = 60, 16, 0.03


def planned() -> list[Any]:
    """Return the cells of the grid."""
    from transfergrid.data.image_folder import ImageFolder
    from transfergrid.records.factory import config_of
    from transfergrid.records.training import Training
    from transfergrid.runs.planning.grid import Planner
    from transfergrid.runs.planning.plan import Asked, Option
    from transfergrid.sources.timm import TimmArchitecture, TimmSource
    from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction

    network = TimmArchitecture("mobilenetv2_100", 96, {"pad_type": "same"}, [0.5], [0.5])
    source = config_of(TimmSource(network, str(WEIGHTS)))
    told: dict[str, Any] = {"steps": STEPS, "batch_size": BATCH, "lr": LR, "augmentation": "none"}
    asked = Asked(
        [Option("mobilenetv2", source)],
        [Option("feature_extraction", config_of(FeatureExtraction(lr_factor=1.0)))],
        [Option("flowers", config_of(ImageFolder(str(DATA / "images/flowers"))))],
        [
            Option(f"penalty {p}", config_of(Training(**told, weight_decay=p, validations=5)))
            for p in PENALTIES
        ],
        list(BUDGETS),
        SEEDS,
    )
    plan = Planner(lambda name: _option(name)).plan(asked)
    return [cell for cell in plan.cells if cell.id in plan.wanted]


def _option(name: str) -> Any:
    from transfergrid.records import shipped
    from transfergrid.records.factory import config_of, locate
    from transfergrid.runs.planning.plan import Option

    return Option(name, config_of(locate(shipped.strategies()[name])()))


def product(cells: int) -> dict[str, Any]:
    """Run the grid, or some of its cells, evenly spread, after one that warms the process."""
    from transfergrid.records.ledger import Ledger
    from transfergrid.runs.cell import run_cell
    from transfergrid.runs.machine import Machine

    machine, own = Machine(accelerator="cpu", threads=1), planned()
    if hasattr(machine, "diagnostics"):
        machine = replace(machine, diagnostics="short")
    some = own[:: max(1, len(own) // cells)][:cells]
    with tempfile.TemporaryDirectory() as folder:
        run_cell(some[-1], Ledger(Path(folder) / "warm"), machine)
        with Watched() as found:
            scores = [run_cell(cell, Ledger(folder), machine).score for cell in some]
    return {**found, "cells": len(some), "score": statistics.fmean(s for s in scores if s)}


class Watched(dict[str, float]):
    """Seconds of wall and of the processor spent inside."""

    def __enter__(self) -> Watched:
        self.started = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self["wall"] = time.perf_counter() - self.started[0]
        self["cpu"] = time.process_time() - self.started[1]


def _parts() -> Any:
    """Return the network, its images as inputs with labels, and the rows of each seed block."""
    import torch

    from transfergrid.data.opened import OpenDomain
    from transfergrid.records.factory import build

    own = planned()
    backbone = build(own[0].config["source"]).initial().eval()
    domain = OpenDomain(own[0].config["target"])
    pool, test = (domain.whole(split, backbone.preprocess) for split in ("pool", "test"))
    blocks = [domain.draw(labels, seed) for labels in BUDGETS for seed in SEEDS]
    images = [view.inputs(view.rows) for view in (pool, test)]
    labels = [torch.from_numpy(view.labels) for view in (pool, test)]
    return backbone, images, labels, blocks


def loop(cells: int) -> dict[str, Any]:
    """Train heads by a plain loop that runs the network at each step and for the test part."""
    import torch
    from torch import nn

    backbone, (pool, test), (own, truth), blocks = _parts()
    torch.set_num_threads(1)
    every = [(block, penalty) for block in blocks for penalty in PENALTIES]
    some, scores = every[:: max(1, len(every) // cells)][:cells], []
    with Watched() as found:
        for block, penalty in some:
            head = nn.Linear(backbone.dim, 5)
            optimiser = torch.optim.AdamW(head.parameters(), LR, weight_decay=penalty)
            for _ in range(STEPS):
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
    return {**found, "cells": len(some), "score": statistics.fmean(scores)}


def sklearn(cells: int) -> dict[str, Any]:
    """Fit scikit-learn's logistic regression to features that are in memory, one by one."""
    import torch
    from sklearn.linear_model import LogisticRegression

    backbone, images, (own, truth), blocks = _parts()
    torch.set_num_threads(1)
    with torch.no_grad():
        pool, test = (
            torch.cat([backbone.embed(part) for part in split.split(16)]).numpy()
            for split in images
        )
    scores = []
    with Watched() as found:
        for block in blocks:
            for penalty in PENALTIES:
                fitted = LogisticRegression(C=1 / (penalty * len(block.train)), max_iter=1000)
                fitted.fit(pool[block.train], own.numpy()[block.train])
                scores.append(float(fitted.score(test, truth.numpy())))
    return {**found, "cells": len(scores), "score": statistics.fmean(scores)}


ARMS = {"product": product, "loop": loop, "sklearn": sklearn}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", help="an earlier checkout of this program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cells", type=int, default=6, help="of what is slow, each round")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.arm:
        name, cells = told.arm.split(":")
        print(json.dumps(ARMS[name](int(cells))))
        return
    grid = len(PENALTIES) * len(BUDGETS) * len(SEEDS)
    arms = {"product": ("product", grid, None), "scikit-learn": ("sklearn", grid, None)}
    arms["plain loop"] = ("loop", told.cells, None)
    if told.before:
        arms["before"] = ("product", told.cells, told.before)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in arms}
    for _ in range(told.rounds):
        for name, (arm, cells, checkout) in arms.items():
            found[name].append(_in_a_process(arm, cells, checkout))
    _show(found, grid)


def _in_a_process(arm: str, cells: int, checkout: str | None) -> dict[str, Any]:
    place = os.environ | ({"PYTHONPATH": str(Path(checkout) / "src")} if checkout else {})
    command = [sys.executable, __file__, "--arm", f"{arm}:{cells}"]
    done = subprocess.run(command, env=place, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _show(found: dict[str, list[dict[str, Any]]], grid: int) -> None:
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print(f"{'':<14}{'wall s':>10}{'cpu s':>10}{'ratio':>8}{'accuracy':>10}{'rounds':>8}")
    own = statistics.median(r["cpu"] / r["cells"] * grid for r in found["product"])
    for name, rounds in found.items():
        wall, cpu = (
            statistics.median(r[key] / r["cells"] * grid for r in rounds) for key in ("wall", "cpu")
        )
        score = statistics.fmean(r["score"] for r in rounds)
        print(f"{name:<14}{wall:>10.1f}{cpu:>10.1f}{cpu / own:>8.1f}{score:>10.3f}{len(rounds):>8}")


if __name__ == "__main__":
    main()
