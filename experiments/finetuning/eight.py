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
from typing import Any

import yaml

from transfergrid.api import verdict_rows
from transfergrid.records.shipped import conf_dir

GIVEN = ("full_finetuning", "feature_extraction", "refine")
ROOMS = ("fine_tuning", "held_near", "few_parameters", "weight_space", "closed_form")

Row = Mapping[str, Any]


def rooms() -> dict[str, str]:
    """Return the package of each shipped strategy's file."""
    files = (conf_dir() / "strategy").glob("*.yaml")
    return {path.stem: _room(path) for path in files}


def _room(path: Path) -> str:
    target: str = yaml.safe_load(path.read_text(encoding="utf-8"))["_target_"]
    return target.split(".")[-3]


def means(found: Iterable[Row]) -> dict[str, float]:
    """Return each strategy's score, the mean of its sections, of those that are in all of them."""
    scores: dict[str, dict[tuple[str, Any], Row]] = {}
    for row in found:
        scores.setdefault(row["strategy"], {})[row["target"], row["labels"]] = row
    sections = {section for own in scores.values() for section in own}
    seeds = max(row["arm_n"] for own in scores.values() for row in own.values())
    return {
        name: sum(row["mean"] for row in own.values()) / len(own)
        for name, own in scores.items()
        if own.keys() == sections and all(row["arm_n"] == seeds for row in own.values())
    }


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
    rows = verdict_rows(asked.parse_args().results)
    scores, room_of = means([row for row in rows if row["primary"] and row["source"]]), rooms()
    for room in ROOMS:
        own = sorted((n for n in scores if room_of[n] == room), key=lambda n: -scores[n])
        print(f"{room}: {', '.join(f'{name} {scores[name]:.1f}' for name in own)}")
    print(",".join(chosen(scores, room_of)))


if __name__ == "__main__":
    main()
