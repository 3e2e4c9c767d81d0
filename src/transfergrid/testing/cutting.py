"""Checks with cuts: a cell is resumed, frozen blocks run ahead, a batch comes in parts."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from transfergrid.data.batches import parts_of
from transfergrid.records.cell import Labels
from transfergrid.records.ledgers.cached import Store
from transfergrid.runs import states
from transfergrid.runs.curve import Fit
from transfergrid.runs.stages import Setup
from transfergrid.runs.states import State
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Objective
from transfergrid.strategies.still import still_blocks
from transfergrid.testing.bench import Bench, Moment, Run, sealed, state_of
from transfergrid.testing.found import Broken, expect, some
from transfergrid.testing.learning import steps
from transfergrid.testing.tiny import TinyDomain, TinyExamples

if TYPE_CHECKING:
    from collections.abc import Iterator

MEND = (
    "Keep whatever outlives a step in parameters or buffers made in build: a cell goes on from "
    "(phase, step, state, optimiser) and from nothing else. Counters and means are buffers too"
)
CLOSE = 1e-5


def passes_the_hard_way(bench: Bench, labels: Labels) -> bool:
    """Return whether a run under all disturbances at once equals the plain run, bit for bit.

    The run is cut and resumed many times, with other global random states and a poisoned test
    split; the test split and the pool's labels are sealed. A strategy that passes keeps several
    rules at the cost of one run. If it fails, separate checks find out which rules are broken.
    """
    if labels not in bench.passed:
        plain = bench.trained(labels)
        target = bench.domain(test="poisoned")
        try:
            state, fitted = in_pieces(bench, labels, _cuts(plain), target)
            bench.passed[labels] = not differences(plain.state, state) and same_fit(
                plain.fitted, fitted
            )
        except Exception:  # whatever it is, the separate checks report it
            bench.passed[labels] = False
    return bench.passed[labels]


def in_pieces(
    bench: Bench, labels: Labels, cuts: Iterable[int], target: TinyDomain | None = None
) -> tuple[dict[str, Tensor], Fit]:
    """Run a cell that is cut after each of these steps; every piece runs in a new setup."""
    kept: State | None = None
    for stop in sorted(cuts):
        setup = bench.set_up(labels, target)
        with _out_of_reach(setup):
            kept = killed(bench, setup, stop, kept)
    setup = bench.set_up(labels, target)
    with _out_of_reach(setup):
        fitted = bench.driver(setup, checkpoint=KilledAt(None, kept)).run()
    return state_of(setup.strategy), fitted


def killed(bench: Bench, setup: Setup, step: int, begun: State | None = None) -> State:
    """Run a cell that is killed after a step; return its checkpoint, read from its file.

    Args:
        bench: the bench of the cell.
        setup: the cell; its strategy stays as it was when killed.
        step: the step to be killed after, counted over all phases.
        begun: the checkpoint to resume from.
    """
    checkpoint = KilledAt(step, begun)
    with contextlib.suppress(Killed):
        bench.driver(setup, checkpoint=checkpoint).run()
    assert checkpoint.left is not None, f"there is no step {step}"
    return checkpoint.left


class Killed(Exception):  # noqa: N818 (nothing went wrong)
    """A cell was killed."""


@dataclasses.dataclass
class KilledAt:
    """Checkpoints of a cell that is killed as soon as it has written one.

    Args:
        step: the step after which it is written; None: never.
        begun: the checkpoint to resume from.
    """

    step: int | None
    begun: State | None
    left: State | None = None

    def take(self) -> State | None:
        """See `Checkpoints`."""
        return self.begun

    def is_due(self, step: int) -> bool:
        """See `Checkpoints`."""
        return step == self.step

    def leave(self, state: State) -> None:
        """See `Checkpoints`."""
        self.left = _as_a_file(state)
        raise Killed


@contextlib.contextmanager
def _out_of_reach(setup: Setup) -> Iterator[None]:
    loaded = setup.target.loaded
    pool, test = cast(TinyExamples, loaded.pool), cast(TinyExamples, loaded.test)
    with sealed(pool, "labels"), sealed(test, "images", "labels"):
        yield


def _as_a_file(state: State) -> State:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "state.safetensors"
        states.write(state, file, Path(folder))
        return states.read(file)


def _cuts(plain: Run) -> list[int]:
    """Return the steps after which to cut.

    In each phase these are the first, one halfway, the last but one and the last. If `before` runs
    again during a phase, there is one right before and one right after that.
    """
    found, done = set[int](), 0
    for number, phase in enumerate(plain.notes.phases):
        steps = sum(own == number for own, _, _ in plain.notes.batches)
        own = {1, steps // 2, steps - 1, steps}
        if phase.every:
            again = max(1, round(phase.every * steps))
            own |= {again, again + 1}
        found |= {done + step for step in own if 0 < step <= steps}
        done += steps
    return sorted(found - {done})


def cut_and_resumed(bench: Bench) -> None:
    """A cell that is cut at any kind of step and resumed ends as if uncut, bit for bit."""
    for labels in bench.budgets():
        if passes_the_hard_way(bench, labels):
            continue
        plain = bench.trained(labels)
        for stop in _cuts(plain):
            where = f"where the cell is cut after step {stop} and goes on"
            try:
                state, fitted = in_pieces(bench, labels, [stop])
            except Exception as error:
                told = f"it raises {type(error).__name__} {where}: {error}"
                raise Broken(f"{told}. {MEND}.") from error
            _expect_same(plain, state, fitted, f"is another one {where}", MEND)


def still_blocks_run_ahead(bench: Bench) -> None:
    """Results do not change if frozen blocks run before the steps, or are read from the cache."""
    mend = (
        "Take features from self.features in loss, predict and before alike; a phase in which "
        "something else reads the inputs says cached=False"
    )
    plan = dataclasses.replace(bench.training, augmentation="light", views=2)
    plain = dataclasses.replace(bench, training=plan)
    for labels in bench.budgets():
        strategy = bench.set_up(labels).strategy
        if not any(still_blocks(strategy, phase) for phase in strategy.all_phases()):
            continue
        expected = plain.run(labels)
        with TemporaryDirectory() as folder:
            machine = dataclasses.replace(bench.machine, store=Store(Path(folder), 2**30))
            kept = dataclasses.replace(plain, machine=machine)
            for what in ("run ahead", "read again"):
                where = f"with its frozen blocks {what}"
                try:
                    found = kept.run(labels)
                except Exception as error:
                    told = f"{where} it raises {type(error).__name__}: {error}"
                    raise Broken(f"{told}. {mend}.") from error
                far = _far(expected.state, found.state)
                expect(not far, f"{some(far)} differs {where}", mend)
                apart = (expected.predictions - found.predictions).abs().max()
                expect(bool(apart <= CLOSE), f"its predictions differ by {apart} {where}", mend)


def _far(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    return [n for n, t in one.items() if not torch.allclose(t, other[n], CLOSE, CLOSE)]


def learns_in_parts(bench: Bench) -> None:
    """It learns with gradient clipping from batches in two parts, and its losses are means."""
    mend = (
        "Let each loss be a mean over whatever examples its batch holds, and return it without a "
        "backward() or a step of its own: training.accumulate and gradient_clip are the driver's"
    )
    plan = dataclasses.replace(bench.training, accumulate=2, gradient_clip=0.5)
    halved = dataclasses.replace(bench, training=plan)
    for labels in bench.budgets():
        setup = halved.set_up(labels)
        try:
            halved.driver(setup).run()
        except Exception as error:
            raise Broken(
                f"where its batches come in two parts it raises {type(error).__name__}: {error}. "
                f"{mend}."
            ) from error
        odd = [n for n, t in state_of(setup.strategy).items() if not bool(t.isfinite().all())]
        expect(not odd, f"where its batches come in two parts {some(odd)} is not finite", mend)
        for moment, _, objective in steps(bench, labels):
            _expect_mean(moment, objective, mend)


def _expect_mean(moment: Moment, objective: Objective, mend: str) -> None:
    """Raise `Broken` if a loss is a sum over examples instead of a mean.

    The losses of two halves are compared with that of the whole batch, in eval mode, where no
    example depends on others. A loss of whole batches, such as a covariance, is neither and passes.
    The default loss must equal the mean over the halves.
    """
    moment.strategy.eval()
    pieces = parts_of(moment.batch, 2)
    whole = objective.loss(moment.batch, 0.5).detach()  # may need gradients
    parts = sum(share * objective.loss(piece, 0.5).detach() for piece, share in pieces)
    assert isinstance(parts, Tensor)
    where = f"a loss of phase {moment.phase.name!r}"
    half = torch.isclose(parts, whole / 2, rtol=1e-4, atol=0)
    expect(
        not half or len(pieces) < 2,
        f"{where} is half as large for half as many examples: it is their sum",
        mend,
    )
    plain = type(moment.strategy).loss is Strategy.loss and len(moment.phase.objectives) == 1
    if plain and objective.loss == moment.strategy.loss:
        close = torch.isclose(parts, whole, rtol=CLOSE, atol=CLOSE)
        expect(close, f"{where} is {whole:.6f}, and by halves {parts:.6f}", mend)


def expect_same(one: Run, other: Run, what: str, mend: str) -> None:
    """Raise `Broken` unless two runs end with the same weights after the same curves."""
    _expect_same(one, other.state, other.fitted, what, mend)


def _expect_same(one: Run, state: Mapping[str, Tensor], fitted: Fit, what: str, mend: str) -> None:
    moved = differences(one.state, state)
    expect(not moved, f"{some(moved)} {what}", mend)
    expect(same_fit(one.fitted, fitted), f"the training curve or chosen step {what}", mend)


def same_fit(one: Fit, other: Fit) -> bool:
    """Return whether two trainings had the same curves and chose the same step."""
    curves = all(np.array_equal(one.curves[k], other.curves[k], True) for k in one.curves)
    told = [(fit.steps, fit.chosen_step, fit.taken) for fit in (one, other)]
    return curves and told[0] == told[1]


def differences(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors that are not equal in both, bit for bit."""
    shared = [n for n in one if n in other and torch.equal(one[n], other[n])]
    return [name for name in {**one, **other} if name not in shared]
