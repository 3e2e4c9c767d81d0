"""Choose the learning-rate factors of the trainings `images`, `text` and `digits28`.

    TRANSFERGRID_DATA=../shared/data python experiments/learning_rates/presets.py text results-lr

Every strategy gets the same ladder of factors, on a development target that is no target of the
training's study; then one more value wherever the best stood at an end of the ladder. Two seeds.
Takes some ten minutes each on two CPU cores. Writes `log_<training>.csv` beside this file and
prints the choices, which stand in the strategies (`under` in `space`).
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from run import best_of, choices, keep, log

LADDER = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True)
class Development:
    """Where a training's factors are chosen.

    Attributes:
        words: source, target and label budgets, away from the training's own study.
        strategies: which of them.
        factors: the ladder that all of them get.
    """

    words: tuple[str, ...]
    strategies: tuple[str, ...]
    factors: tuple[float, ...]


TAUGHT = ("scratch", "feature_extraction", "full_finetuning")
DEVELOPMENT = {
    "images": Development(
        ("source=mobilenetv2_imagenet", "target=pneumonia", "labels=20"), TAUGHT, LADDER[3:8]
    ),
    "text": Development(
        ("source=minilm", "target=mpqa", "target.metric=macro_f1", "labels=50"),
        TAUGHT,
        LADDER[1:8],
    ),
    "digits28": Development(
        (
            *("source=mnist", "target@source.domain=glyph_digits", "source.domain.size=28"),
            *("target=digits", "labels=0,10", "training.steps=200"),
        ),
        (*TAUGHT, "source_only", "source_and_target", "domain_adversarial"),
        LADDER[2:6],
    ),
}


def run(training: str, strategies: tuple[str, ...], factors: list[float], results: Path) -> None:
    """Run a grid; what is done already is not done again."""
    words = [
        *("-m", f"training={training}", *DEVELOPMENT[training].words, "seed=range(2)"),
        f"strategy={','.join(strategies)}",
        f"strategy.lr_factor={','.join(f'{factor:g}' for factor in factors)}",
        *("references=[]", f"results={results}"),
    ]
    subprocess.run(["transfergrid", *words], check=True)


def beyond(means: dict[float, float]) -> list[float]:
    """Return the value beyond the end of the ladder that the best stands at, if it does."""
    place = LADDER.index(best_of(means))
    tried = [LADDER.index(factor) for factor in means]
    wanted = [place - 1] if place == min(tried) else [place + 1] if place == max(tried) else []
    return [LADDER[place] for place in wanted if 0 <= place < len(LADDER)]


def main(training: str, folder: str) -> None:
    development, results = DEVELOPMENT[training], Path(folder) / training
    run(training, development.strategies, list(development.factors), results)
    for name, means in choices(log(results)).items():
        if name in development.strategies and beyond(means):
            run(training, (name,), beyond(means), results)
    rows = [row for row in log(results) if row["strategy"] in development.strategies]
    keep(rows, Path(__file__).parent / f"log_{training}.csv")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in DEVELOPMENT:
        sys.exit(__doc__)
    main(*sys.argv[1:])
