"""How long it takes to plan 100,000 cells: from overrides to the cells that workers are given.

    python experiments/benchmarks/planning.py [REPEATS]

Expected on two CPU cores: under 10 s. Hydra composes each option once (about 0.1 s each); the rest
is plain Python.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import replace

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from transfergrid.records.shipped import conf_dir
from transfergrid.verbs.asking import ask
from transfergrid.verbs.configs.composing import Composer
from transfergrid.verbs.configs.requests import read_request
from transfergrid.verbs.sweep import make_plan

REQUEST = (
    "source=glyph_digits,glyph_letters,placebo",
    "strategy=feature_extraction,full_finetuning,layerwise_lr,distillation,domain_adversarial,"
    "source_and_target,scratch_converged",
    "strategy.lr_factor=0.1,0.3,1.0,3.0,10.0",
    "training.lr=0.001,0.003,0.01",
    "labels=1,2,5,10,20,50,all",
    "seed=range(75)",
)
DEFAULTS = {
    "target": "digits",
    "training": "default",
    "tuning": "none",
    "labels": "20",
    "seed": "0",
}


def seconds_to_plan() -> tuple[float, int]:
    """Return the seconds of one planning and the number of cells planned."""
    started = time.perf_counter()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        defaults = {**DEFAULTS, "source": "glyph_digits", "strategy": "scratch"}
        request = read_request(REQUEST, {}, defaults, hydra.config_loader)
        composer = Composer(hydra.config_loader, "config", request.settings)
        plan = make_plan(ask(request, composer), composer, ["majority", "logistic_regression"])
        cells = [replace(cell, study="benchmark", grid=plan.id) for cell in plan.cells]
    return time.perf_counter() - started, len(cells)


def main(repeats: int) -> None:
    runs = [seconds_to_plan() for _ in range(repeats)]
    taken = [seconds for seconds, _ in runs]
    spread = f"{min(taken):.1f} to {max(taken):.1f}"
    print(f"{runs[0][1]} cells in {statistics.median(taken):.1f} s (median of {repeats}, {spread})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
