"""Which eight go into stage 2? The rule that was written down before stage 1 was run.

    python experiments/finetuning/eight.py results     # prints each room's strategies and the eight

Plain fine-tuning, the frozen probe and `refine`; and of each other room that learns no student the
strategy with the highest mean score over the sections of stage 1 (targets by label budgets), of
those that have all seeds in all sections.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import yaml

from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.shipped import conf_dir

GIVEN = ("full_finetuning", "feature_extraction", "refine")
ROOMS = ("fine_tuning", "held_near", "few_parameters", "weight_space", "closed_form")


class Run(NamedTuple):
    """One cell of a strategy from a source; the score in percent."""

    strategy: str
    target: str
    labels: Any
    seed: int
    score: float


def rooms() -> dict[str, str]:
    """Return the package of each shipped strategy's file."""
    files = (conf_dir() / "strategy").glob("*.yaml")
    return {path.stem: _room(path) for path in files}


def _room(path: Path) -> str:
    target: str = yaml.safe_load(path.read_text(encoding="utf-8"))["_target_"]
    return target.split(".")[-3]


def means(runs: Iterable[Run]) -> dict[str, float]:
    """Return each strategy's score, the mean of its sections, of those that are in all of them."""
    scores: dict[str, dict[tuple[str, Any], dict[int, float]]] = {}
    for run in runs:
        section = scores.setdefault(run.strategy, {}).setdefault((run.target, run.labels), {})
        section[run.seed] = run.score
    sections = {section for own in scores.values() for section in own}
    seeds = max(len(by_seed) for own in scores.values() for by_seed in own.values())
    return {
        name: fmean(fmean(by_seed.values()) for by_seed in own.values())
        for name, own in scores.items()
        if own.keys() == sections and all(len(by_seed) == seeds for by_seed in own.values())
    }


def runs_in(results: str | Path) -> list[Run]:
    """Return the scores of a ledger's runs from a source, in percent.

    No gain is asked for, so that no look at verdicts is spent on it.
    """
    return [
        Run(told.names.strategy, told.names.target, told.labels, told.seed, 100 * score)
        for told in Ledger(results).records()
        if told.status == "done"
        and told.names.source
        and (score := (told.scores.test or {}).get(told.metric.name)) is not None
    ]


def chosen(scores: Mapping[str, float], room_of: Mapping[str, str]) -> list[str]:
    """Return the eight."""
    eight = [*GIVEN]
    for room in ROOMS:
        open_to = [name for name in scores if room_of.get(name) == room and name not in GIVEN]
        if open_to:
            eight.append(max(open_to, key=lambda name: scores[name]))
    return eight


def main() -> None:
    """Print the strategies of each room by their mean score, and the eight."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("results")
    scores, room_of = means(runs_in(asked.parse_args().results)), rooms()
    for room in ROOMS:
        own = sorted((n for n in scores if room_of[n] == room), key=lambda n: -scores[n])
        print(f"{room}: {', '.join(f'{name} {scores[name]:.1f}' for name in own)}")
    print(",".join(chosen(scores, room_of)))


if __name__ == "__main__":
    main()
