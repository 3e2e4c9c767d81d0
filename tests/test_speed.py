"""What `experiments/speed` compares does the same thing, and no example is passed twice.

Never times: of them the experiment itself tells.
"""

import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from transfergrid.data.opened import OpenDomain
from transfergrid.records.factory import config_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.training import Training
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine
from transfergrid.runs.scores.features import FeaturePasses
from transfergrid.strategies.closed_form.prototypes import Prototypes
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.tiny import SIDE, Part, TinyBackbone, TinyDomain, TinySource

SPEED = Path(__file__).parents[1] / "experiments" / "speed"
OF = (TinySource(), TinyDomain())
PLAIN = Training(steps=12, batch_size=8, lr=0.01, augmentation="none", validations=3)
CPU = Machine(accelerator="cpu", threads=1)
TARGET, SOURCE = 60 + 24, 60
"""Examples of the pool and of the test split, and of the source's pool."""


@pytest.fixture(scope="module")
def speed():
    """The modules of the experiment."""
    sys.path.insert(0, str(SPEED))
    try:
        import bare
        import partial
        import side_by_side
        import whole
        import workload
    finally:
        sys.path.remove(str(SPEED))
    return {m.__name__: m for m in (bare, partial, side_by_side, whole, workload)}


LOOKED_AT = 32
"""Of which diagnostics keep something more, the inputs of BatchNorm."""
TIMED = 4
"""Passes of one example by which a cell tells the seconds of a prediction."""


class Embedding(nn.Module):
    """The network of a tiny source without the backbone that wraps it."""

    def __init__(self):
        super().__init__()
        self.network = OF[0].load(None, 0).network

    def forward(self, images):
        return self.network(images)


@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_bare_loop_of_the_same_batches_ends_where_a_cell_does(speed, tmp_path, clip):
    training = replace(PLAIN, gradient_clip=clip)
    strategy = FullFinetuning(lr_factor=0.5)
    (cell,) = speed["workload"].planned(OF, strategy, [training], [12], [4])
    ledger = Ledger(tmp_path)
    record = run_cell(cell, ledger, CPU)
    job = speed["whole"].job_of(Embedding, cell, 0.5, CPU.kept_in(ledger.root))
    score, losses = speed["bare"].run(job)
    assert len(job.read[1]) > 0
    assert score == pytest.approx(record.score, abs=1e-6)
    np.testing.assert_allclose(losses, ledger.curves(cell.id)["train_loss"], rtol=0, atol=1e-6)


class Passes:
    """How many examples of target and source go through tiny backbones, whole or in part.

    What else does is noise, or fills a batch up.
    """

    def __init__(self, monkeypatch):
        self.count, self.known = 0, set()
        for domain, splits in ((OF[1], ("pool", "test")), (OF[0].domain, ("pool",))):
            for split in splits:
                view = OpenDomain(config_of(domain)).whole(split, OF[0].initial().preprocess)
                self.known |= {row.numpy().tobytes() for row in view.inputs(view.rows)}
        embed, forward = TinyBackbone.embed, Part.forward

        def embedding(backbone, inputs):
            self.note(inputs)
            return embed(backbone, inputs)

        def leading(part, value):
            if not part.opens:
                self.note(value)
            return forward(part, value)

        monkeypatch.setattr(TinyBackbone, "embed", embedding)
        monkeypatch.setattr(Part, "forward", leading)

    def note(self, inputs):
        self.count += len({row.detach().numpy().tobytes() for row in inputs} & self.known)


@pytest.fixture
def passes(monkeypatch):
    return Passes(monkeypatch)


def test_a_grid_with_scores_and_diagnostics_passes_each_example_once(speed, tmp_path, passes):
    penalties = [replace(PLAIN, weight_decay=penalty) for penalty in (0.0, 1.0)]
    planned, budgets, seeds = speed["workload"].planned, [4, 12], [0, 1]
    own = planned(OF, FeatureExtraction(), penalties, budgets, seeds)
    own += planned(OF, Prototypes(), [PLAIN], budgets, seeds)
    machine, ledger = replace(CPU, diagnostics="short"), Ledger(tmp_path)
    scores = FeaturePasses(tmp_path, machine)
    for cell in own:
        run_cell(cell, ledger, machine)
    for labels, seed in product(budgets, seeds):
        scores.of(config_of(OF[0]), config_of(OF[1]), labels, seed)
    assert len(own) == 12
    kept = CPU.kept_in(tmp_path).store.entries()
    passed = passes.count - TIMED * len(own)
    assert passed <= sum(entry.rows for entry in kept) + 1  # operations are counted once
    assert sum(entry.rows for entry in kept) <= TARGET + SOURCE + LOOKED_AT


def test_what_still_blocks_make_is_as_good_kept_as_not(speed, tmp_path, passes, monkeypatch):
    monkeypatch.setattr(TinyBackbone, "image_shape", (1, SIDE, SIDE))
    monkeypatch.setattr(nn.Dropout, "forward", lambda layer, values: values)  # draws by layout
    strategy = speed["partial"].LastBlocks(2)
    own = speed["workload"].planned(OF, strategy, [PLAIN], [12], [0, 1])
    found = {}
    for name, cache in (("kept", 8), ("not", 0)):
        ledger = Ledger(tmp_path / name)
        passes.count = 0
        machine = replace(CPU, cache=cache, diagnostics="none")
        records = [run_cell(cell, ledger, machine) for cell in own]
        curves = [ledger.curves(cell.id)["train_loss"] for cell in own]
        found[name] = ([r.score for r in records], curves, passes.count)
    assert found["kept"][0] == found["not"][0]
    np.testing.assert_allclose(found["kept"][1], found["not"][1], rtol=0, atol=1e-6)
    assert found["kept"][2] <= TARGET + len(own) < 3 * TARGET < found["not"][2]


def test_ratios_are_of_arms_beside_each_other_and_their_median_is_judged(speed):
    module = speed["side_by_side"]
    wanted = module.Wanted("a / b", "a", "b", most=1.1)
    found = {
        "a": [{"cells": 2, "cpu": 2.0}, {"cells": 2, "cpu": 12.0}, {"cells": 2, "cpu": 3.6}],
        "b": [{"cells": 1, "cpu": 1.0}, {"cells": 1, "cpu": 4.0}, {"cells": 1, "cpu": 1.5}],
    }
    assert module.ratios(wanted, found) == pytest.approx([1.0, 1.5, 1.2])
    experiment = module.Experiment("them", "none", {}, [wanted], scale=10)
    assert module.judged(experiment, found) == ["| a / b | ≤ 1.1 | 1.2 | 1 to 1.5 | **no** |"]
    assert "| b | 15 | 3 |" in module.table(experiment, found)


def test_beside_a_gpu_the_clock_on_the_wall_counts(speed):
    module = speed["side_by_side"]
    wanted = module.Wanted("a / b", "a", "b", least=2)
    found = {
        "a": [{"cells": 1, "cpu": 9.0, "wall": 3.0, "device": "cuda"}],
        "b": [{"cells": 1, "cpu": 1.0, "wall": 1.0, "device": "cuda"}],
    }
    assert module.ratios(wanted, found) == [3.0]
    assert wanted.is_met(3.0)
