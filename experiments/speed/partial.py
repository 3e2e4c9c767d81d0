"""Fine-tuning of the last blocks alone: what the blocks below make of images kept, and not.

Photographs of flowers with MobileNetV2 at 96 pixels, no augmentation, 20 labels a class, 60 steps
of 16; the head and the last coarse blocks learn. Each arm runs the cells of a few seeds in a warm
process; a ledger begins without anything kept. Run by `run.py 2`.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from functools import partial

from side_by_side import Arm, Experiment, Found, Told, Wanted, Watched
from typing_extensions import override
from workload import flowers, ledgers, planned

from transfergrid.records.training import Training
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine
from transfergrid.strategies import Count, Objective, Phase, Strategy

LAST, LABELS, SEEDS = 2, 20, 3
TRAINING = Training(steps=60, batch_size=16, lr=0.001, augmentation="none", validations=5)


class LastBlocks(Strategy):
    """The head and the last coarse blocks learn, at one rate.

    Args:
        last: how many blocks.
        shared: `lr_factor` and `schedule`.
    """

    def __init__(self, last: Count = LAST, **shared: object) -> None:
        super().__init__(**shared)  # type: ignore[arg-type]
        self.last = last

    @override
    def phases(self) -> list[Phase]:
        first = len(self.backbone.blocks("coarse")) - self.last
        blocks = self.block_groups(first, granularity="coarse")
        return [Phase("last blocks", [Objective(self.loss, [self.head_group(), *blocks])])]


def product(told: Told, kept: bool = True) -> Found:
    """Run the cells of a few seeds, each of which finds what those before it have kept."""
    training = replace(TRAINING, steps=told.steps or TRAINING.steps)
    seeds = [told.cells * told.seed + i for i in range(told.cells)]
    own = planned(flowers(), LastBlocks(lr_factor=0.3), [training], [LABELS], seeds)
    machine = Machine(told.accelerator, threads=1, diagnostics="none")
    if not kept:
        machine = replace(machine, cache=0)
    with ledgers() as ledger:
        run_cell(own[0], ledger("warm"), machine)
        with Watched() as watched:
            scores = [run_cell(cell, ledger("measured"), machine).score for cell in own]
    score = statistics.fmean(s for s in scores if s is not None)
    return {**watched.found, "cells": len(own), "score": score}


ARMS = {"kept": product, "not kept": partial(product, kept=False)}


def experiment() -> Experiment:
    """Return it."""
    arms = {
        "what still blocks make is kept": Arm("kept", SEEDS),
        "it is not": Arm("not kept", SEEDS),
    }
    kept, plain = arms
    wanted = [Wanted("the last blocks: not kept / kept", plain, kept, least=2)]
    return Experiment("fine-tuning of the last blocks, a cell", "partial", arms, wanted)
