"""Arms in turn, each in a process of its own, and what came of them in tables.

    python experiments/speed/side_by_side.py SCRIPT FUNCTION '{"cells": 1}' [--profile 30]

runs one arm by itself and prints what it found; with `--profile` also where its time went.
"""

from __future__ import annotations

import argparse
import cProfile
import importlib
import json
import os
import platform
import pstats
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar

Found = dict[str, Any]
"""What one arm found in one round: `cells` that ran, and of all of them `wall` and `cpu` seconds;
`score`, the mean of theirs; `peak`, MB; and others, which get columns of their own."""
SHOWN = {"wall": "wall s", "cpu": "processor s", "score": "score", "peak": "peak MB"}


@dataclass(frozen=True)
class Told:
    """What an arm is told.

    Attributes:
        cells: how many to run.
        seed: number of the round.
        accelerator: Lightning's name of the device.
        steps: of a cell; None: as many as the experiment says.
    """

    cells: int = 1
    seed: int = 0
    accelerator: str = "cpu"
    steps: int | None = None


@dataclass(frozen=True)
class Arm:
    """A function of a script of this folder.

    Attributes:
        function: its name in the script's `ARMS`.
        cells: that it runs in a round.
        checkout: of this program, by which it runs; None: this one.
    """

    function: str
    cells: int = 1
    checkout: str | None = None


@dataclass(frozen=True)
class Wanted:
    """A ratio of two arms, or what one of them finds, and its bound.

    Attributes:
        what: is compared, in words.
        of: the arm.
        than: what it is divided by; None: nothing.
        least: that it should be, if a large one is wanted.
        most: that it should be, if a small one is wanted.
        key: of what was found; `cpu` is the clock on the wall where a GPU works beside.
    """

    what: str
    of: str
    than: str | None = None
    least: float | None = None
    most: float | None = None
    key: str = "cpu"

    def is_met(self, value: float) -> bool:
        """Return whether the bound is kept."""
        too_small = self.least is not None and value < self.least
        return not too_small and not (self.most is not None and value > self.most)

    @property
    def bound(self) -> str:
        """The bound in signs."""
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"


@dataclass(frozen=True)
class Experiment:
    """Arms that are compared.

    Attributes:
        title: of its table.
        script: the module of this folder that has the arms.
        arms: by name, in the order of their turns.
        wanted: of them.
        scale: cells for which seconds are told.
    """

    title: str
    script: str
    arms: Mapping[str, Arm]
    wanted: Sequence[Wanted] = ()
    scale: int = 1


@dataclass
class Watched:
    """Seconds of wall and processor spent inside, those of processes that ended there too.

    What is inside is what a `profile` is of, where there is one.
    """

    wall: float = 0.0
    cpu: float = 0.0
    _began: tuple[float, float] = field(default=(0.0, 0.0), repr=False)
    _profiles: bool = field(default=False, repr=False)

    profile: ClassVar[cProfile.Profile | None] = None
    running: ClassVar[bool] = False
    """Whether a profile is being taken, by what is outside of this."""

    def __enter__(self) -> Watched:
        if self.profile is not None and not Watched.running:
            self._profiles = Watched.running = True
            self.profile.enable()
        self._began = time.perf_counter(), _processor()
        return self

    def __exit__(self, *_: object) -> None:
        if self.profile is not None and self._profiles:
            self.profile.disable()
            self._profiles = Watched.running = False
        self.wall += time.perf_counter() - self._began[0]
        self.cpu += _processor() - self._began[1]

    @property
    def found(self) -> Found:
        """Both by name."""
        return {"wall": self.wall, "cpu": self.cpu}


@contextmanager
def counted(watched: Watched, owner: Any, name: str) -> Iterator[None]:
    """Let every call of a function of a module or class be counted while inside."""
    original = getattr(owner, name)

    @wraps(original)
    def counting(*args: Any, **kwargs: Any) -> Any:
        with watched:
            return original(*args, **kwargs)

    setattr(owner, name, counting)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _processor() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def measure(experiment: Experiment, rounds: int, told: Told) -> dict[str, list[Found]]:
    """Return what each arm found, round by round, all arms in turn in each."""
    found: dict[str, list[Found]] = {name: [] for name in experiment.arms}
    for seed in range(rounds):
        for name, arm in experiment.arms.items():
            own = replace(told, seed=seed, cells=arm.cells)
            found[name].append(_in_a_process(experiment.script, arm, own))
            print(f"{experiment.title}, round {seed + 1}, {name}", file=sys.stderr, flush=True)
    return found


def _in_a_process(script: str, arm: Arm, told: Told) -> Found:
    place = dict(os.environ)
    if arm.checkout is not None:
        place["PYTHONPATH"] = str(Path(arm.checkout).resolve() / "src")
    command = [sys.executable, __file__, script, arm.function, json.dumps(asdict(told))]
    done = subprocess.run(command, env=place, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{script} {arm.function}: {done.stderr[-2000:]}")
    answer: Found = json.loads(done.stdout.splitlines()[-1])
    return answer


# Tables ------------------------------------------------------------------------------------------


def machine(accelerator: str = "cpu") -> str:
    """Say in one line what it is measured on, and how busy that is."""
    import torch

    from transfergrid.records.provenance import processor

    device = processor()
    if accelerator != "cpu" and torch.cuda.is_available():
        device = f"{torch.cuda.get_device_name()}, {device}"
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    return (
        f"{device}, {os.cpu_count()} cores, OMP_NUM_THREADS={threads}, {load}, Python "
        f"{platform.python_version()}, torch {torch.__version__}, {time.strftime('%d %B %Y')}"
    )


def table(experiment: Experiment, found: Mapping[str, Sequence[Found]]) -> str:
    """Return the medians of each arm as a table of Markdown."""
    keys = [key for rounds in found.values() for key in rounds[0]]
    ordered = dict.fromkeys([*SHOWN, *keys])
    columns = {k: SHOWN.get(k, k) for k in ordered if k in keys and k not in ("cells", "device")}
    lines = [f"| {experiment.title} | {' | '.join(columns.values())} | rounds |"]
    lines.append("| --- " * (len(columns) + 2) + "|")
    for name, rounds in found.items():
        told = [_told(experiment, rounds, key) for key in columns]
        lines.append(f"| {name} | {' | '.join(told)} | {len(rounds)} |")
    return "\n".join(lines)


def _told(experiment: Experiment, rounds: Sequence[Found], key: str) -> str:
    values = [_scaled(r, key, experiment.scale) for r in rounds if key in r]
    if not values:
        return "–"
    middle = statistics.fmean(values) if key == "score" else statistics.median(values)
    return f"{middle:.4f}" if key == "score" else f"{middle:.3g}"


def _scaled(found: Found, key: str, scale: int) -> float:
    value = float(found[key])
    return value / found["cells"] * scale if key in ("wall", "cpu") else value


def judged(experiment: Experiment, found: Mapping[str, Sequence[Found]]) -> list[str]:
    """Return a line of Markdown for all that is wanted of an experiment's arms."""
    return [_line(wanted, ratios(wanted, found)) for wanted in _at_hand(experiment.wanted, found)]


def _at_hand(wanted: Iterable[Wanted], found: Mapping[str, Sequence[Found]]) -> Iterable[Wanted]:
    return (w for w in wanted if w.of in found and (w.than is None or w.than in found))


def ratios(wanted: Wanted, found: Mapping[str, Sequence[Found]]) -> list[float]:
    """Return what is wanted of each round, whose arms were beside each other."""
    own = [_value(found[wanted.of][i], wanted.key) for i in range(len(found[wanted.of]))]
    if wanted.than is None:
        return own
    other = [_value(r, wanted.key) for r in found[wanted.than]]
    return [a / b for a, b in zip(own, other, strict=True)]


def _value(found: Found, key: str) -> float:
    """Return it of one cell; where a GPU works beside, the processor's seconds say nothing."""
    if key == "cpu" and found.get("device", "cpu") != "cpu":
        key = "wall"
    return _scaled(found, key, 1)


HEADING = "| what | wanted | measured | lowest to highest | met |\n| --- | --- | --- | --- | --- |"


def _line(wanted: Wanted, values: Sequence[float]) -> str:
    middle = statistics.median(values)
    met = "yes" if wanted.is_met(middle) else "**no**"
    spread = f"{min(values):.3g} to {max(values):.3g}"
    return f"| {wanted.what} | {wanted.bound} | {middle:.3g} | {spread} | {met} |"


# One arm -----------------------------------------------------------------------------------------


def peak_mb() -> float:
    """Return the highest memory use of this process, or of its GPU where it used one, in MB."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return float(torch.cuda.max_memory_allocated() / 2**20)
    status = Path("/proc/self/status")  # what getrusage says there is the parent's, if higher
    lines = status.read_text().splitlines() if status.exists() else []
    own = [int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM:")]
    return own[0] if own else _rss(resource.RUSAGE_SELF)


def peak_mb_of_others() -> float:
    """Return the highest memory use of any process that this one started and that has ended."""
    return _rss(resource.RUSAGE_CHILDREN)


def _rss(who: int) -> float:
    used = resource.getrusage(who).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("script")
    parser.add_argument("function")
    parser.add_argument("told", nargs="?", default="{}")
    parser.add_argument("--profile", type=int, metavar="ENTRIES", default=0)
    given = parser.parse_args()
    arms: Mapping[str, Callable[[Told], Found]] = importlib.import_module(given.script).ARMS
    if given.profile:
        Watched.profile = cProfile.Profile(time.process_time)
    found = arms[given.function](Told(**json.loads(given.told)))
    if Watched.profile is not None:
        for order in ("tottime", "cumtime"):
            pstats.Stats(Watched.profile).sort_stats(order).print_stats(given.profile)
    print(json.dumps({"peak": peak_mb(), **found}))


if __name__ == "__main__":
    sys.modules["side_by_side"] = sys.modules["__main__"]  # the arms' own is then this one
    main()
