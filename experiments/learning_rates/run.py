"""Choose each strategy's learning-rate factor on a development target outside every study.

    python experiments/learning_rates/run.py ../shared/data/images/mnist/mnist.npz results-lr

Every strategy, scratch included, gets three values, and then three around the best of these, so
that no choice stands at an edge that nobody looked beyond. The target is handwriting that no study
uses: a thousand MNIST digits as the pool and two thousand as test, three seeds, 0, 2 and 20 labels.
Takes some eight minutes on two CPU cores. Writes `log.csv` beside this file and prints the choice.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

import numpy as np

from transfergrid.records.ledger import Ledger

LADDER = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
FIRST = LADDER[2:5]
STRATEGIES = (
    "scratch",
    "scratch_converged",
    "source_only",
    "source_and_target",
    "feature_extraction",
    "full_finetuning",
    "layerwise_lr",
    "distillation",
    "domain_adversarial",
)


def development_target(mnist: Path, folder: Path) -> Path:
    """Write a fixed subset of MNIST as an `arrays` target; return its path."""
    rng = np.random.default_rng(0)
    with np.load(mnist, allow_pickle=False) as data:
        pool = rng.choice(len(data["y_train"]), 1000, replace=False)
        test = rng.choice(len(data["y_test"]), 2000, replace=False)
        kept = {
            "x_train": data["x_train"][pool],
            "y_train": data["y_train"][pool],
            "x_test": data["x_test"][test],
            "y_test": data["y_test"][test],
            "class_names": data["class_names"],
        }
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "development.npz", **kept)
    return folder / "development.npz"


def run(target: Path, results: Path, strategies: Iterable[str], factors: Iterable[float]) -> None:
    """Run a grid; what is done already is not done again."""
    words = [
        *("-m", "source=glyph_digits", f"strategy={','.join(strategies)}"),
        *("target=arrays", f"target.file={target}", "labels=0,2,20", "seed=range(3)"),
        f"strategy.lr_factor={','.join(f'{factor:g}' for factor in factors)}",
        *("references=[]", f"results={results}"),
    ]
    subprocess.run(["transfergrid", *words], check=True)


def around(factor: float) -> tuple[float, ...]:
    """Return a factor and its neighbours on the ladder."""
    place = LADDER.index(factor)
    return LADDER[place - 1 : place + 2]


def log(results: Path) -> list[dict[str, object]]:
    """Return one row a cell."""
    rows = [
        {
            "strategy": record.names.strategy.partition("(")[0],
            "lr_factor": record.config["strategy"]["lr_factor"],
            "labels": record.labels,
            "seed": record.seed,
            "score": round(100 * (record.score or float("nan")), 2),
            "id": record.id,
        }
        for record in Ledger(results).records()
    ]
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])


def choices(rows: list[dict[str, object]]) -> dict[str, dict[float, float]]:
    """Return the mean accuracy over seeds and label budgets by strategy and factor."""
    scores: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        scores[str(row["strategy"])][float(str(row["lr_factor"]))].append(float(str(row["score"])))
    return {
        name: {factor: fmean(values) for factor, values in sorted(found.items())}
        for name, found in sorted(scores.items())
    }


def best_of(means: dict[float, float]) -> float:
    """Return the factor with the best mean, the smallest of equals."""
    return max(means, key=lambda factor: means[factor])


def keep(rows: list[dict[str, object]], place: Path) -> None:
    """Write the log and print every mean, with the choice."""
    with place.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for name, means in choices(rows).items():
        shown = "  ".join(f"{factor:g}: {mean:5.2f}" for factor, mean in means.items())
        print(f"{name:<20} {shown}  -> {best_of(means):g}")


def main(mnist: str, folder: str) -> None:
    ledger = Path(folder) / "ledger"
    target = development_target(Path(mnist), Path(folder))
    run(target, ledger, STRATEGIES, FIRST)
    for name, means in choices(log(ledger)).items():
        run(target, ledger, [name], around(best_of(means)))
    keep(log(ledger), Path(__file__).parent / "log.csv")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
