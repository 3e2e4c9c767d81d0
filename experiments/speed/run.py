"""All that is measured side by side, by one command.

    OMP_NUM_THREADS=1 python experiments/speed/run.py [1 2 3 6 7 ...] [--rounds 5]
        [--before CHECKOUT] [--accelerator auto] [--steps N]

1 probes and their heads alone, 2 fine-tuning of the last blocks, 3 full fine-tuning, 6 growth, 7
from Enter. Prints a table of each, and one of all that is wanted. Where there is a GPU,
`--accelerator gpu` runs 1 to 3 on it: times are then those of the clock, examples a second and the
input's share stand beside.
`--steps` makes cells short, to see whether all of it runs; such numbers say nothing.
"""

from __future__ import annotations

import argparse

import growing
import heads
import partial
import probes
import startup
import whole
from side_by_side import HEADING, Experiment, Told, judged, machine, measure, table

ONCE = "growing"
"""Whose arms take long and are compared over orders of magnitude: one round of each is enough."""


def experiments(number: int, before: str | None) -> list[Experiment]:
    """Return those of a number."""
    return {
        1: lambda: [probes.experiment(before), heads.experiment()],
        2: lambda: [partial.experiment()],
        3: lambda: [whole.experiment(kind) for kind in whole.KINDS],
        6: lambda: [growing.experiment(), growing.of_verbs()],
        7: lambda: [startup.experiment()],
    }[number]()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("numbers", nargs="*", type=int, choices=[1, 2, 3, 6, 7], default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", help="an earlier checkout of this program, for 1")
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    told = Told(accelerator=given.accelerator, steps=given.steps)
    print(machine(given.accelerator), end="\n\n", flush=True)
    lines = []
    for number in given.numbers or (1, 2, 3, 6, 7):
        for experiment in experiments(number, given.before):
            rounds = 1 if experiment.script == ONCE else given.rounds
            found = measure(experiment, rounds, told)
            lines += judged(experiment, found)
            print(table(experiment, found), end="\n\n", flush=True)
            if number == 6 and experiment is not None and "judging" not in experiment.title:
                growing.save(growing.rows(found))
    print("\n".join([HEADING, *lines]))


if __name__ == "__main__":
    main()
