"""Checks of whole runs: what stays unchanged, what is seen, and what is predicted."""

from __future__ import annotations

import io

import torch
from torch import Tensor

from transfergrid.data.batches import Batch
from transfergrid.data.streams import Augmenting, StepBatches
from transfergrid.runs.stages import Setup
from transfergrid.testing.bench import SEED, Bench, opened, sealed
from transfergrid.testing.cutting import differences, expect_same, passes_the_hard_way
from transfergrid.testing.found import Broken, expect, some
from transfergrid.testing.tiny import SealedError


def same_seed_same_result(bench: Bench) -> None:
    """Two runs with one seed and the same number of threads agree in all results, bit for bit."""
    what = "differs between two runs of the same seed"
    mend = (
        "Draw random numbers from torch in losses and in before, and from "
        "seeds.generator(self.block_seed, name) elsewhere; never from Python's or NumPy's global "
        "state"
    )
    for labels in bench.budgets():
        if passes_the_hard_way(bench, labels):
            continue
        one, other = bench.trained(labels), bench.run(labels)
        expect_same(one, other, what, mend)
        expect(torch.equal(one.predictions, other.predictions), f"what it predicts {what}", mend)


def predictions_repeat(bench: Bench) -> None:
    """`predict` returns one finite row of outputs for each example, the same every time."""
    for labels in bench.budgets():
        setup = bench.trained(labels).setup
        logits = _say(setup)
        shape = (len(setup.target.examples("test")), setup.data.task.outputs)
        expect(
            tuple(logits.shape) == shape and bool(logits.isfinite().all()),
            f"predict gives {tuple(logits.shape)} values or some that are not finite",
            f"Return finite outputs, (batch, outputs of the task): here {shape}",
        )
        bench.disturb()
        expect(
            torch.equal(logits, _say(setup)),
            "the same weights predict something else the second time",
            "Draw nothing at random in predict, nor change any state; dropout is off in eval mode",
        )


def frozen_stays_frozen(bench: Bench) -> None:
    """What is in no group stays in eval mode in a phase, and keeps every bit, statistics too."""
    for labels in bench.budgets():
        notes = bench.trained(labels).notes
        moved = [f"{name} (in phase {phase!r})" for name, phase in notes.moved.items()]
        expect(
            not moved,
            f"{some(moved)} changed, but no group of the phase names it",
            "Add it to a group, or do not touch it outside before; BatchNorm moves in training "
            "mode even without a gradient",
        )
        expect(
            not notes.awake,
            f"{some(sorted(notes.awake))} is in training mode although nothing in it learns",
            "Call super().train() and leave the modes alone that it sets: BatchNorm and dropout "
            "of frozen parts must behave as at test time",
        )


def sees_the_batches_of_its_block(bench: Bench) -> None:
    """At every step it gets the same batch as all arms of the seed block."""
    for labels in bench.budgets():
        notes, fresh = bench.trained(labels).notes, bench.set_up(labels).data
        plan = bench.training
        augmenting = Augmenting(plan.augmentation, plan.views)
        for number, place, batch in notes.batches:
            phase, steps = notes.phases[number], range(place, place + 1)
            data = fresh.of_steps(phase.counts)
            streams = StepBatches(
                data, SEED, steps, plan.batch_size, augmenting, phase.reads, phase.episode
            )
            expect(
                _same_batch(batch, streams[0]),
                f"batch {place} of phase {phase.name!r} is not the one that other arms of the seed "
                "block see",
                "Change neither the views in before(data) nor a batch in place; work on copies",
            )


def _same_batch(one: Batch, other: Batch) -> bool:
    return not differences(_parts(one), _parts(other))


def _parts(batch: Batch) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    waiting: list[tuple[str, object]] = list(vars(batch).items())
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Tensor):
            found[name] = value
        elif isinstance(value, tuple):
            waiting += [(f"{name} {i}", part) for i, part in enumerate(value)]
        elif value is not None:
            inner = value if isinstance(value, dict) else vars(value)
            waiting += [(f"{name} {key}", part) for key, part in inner.items()]
    return found


def cannot_reach_the_test_split(bench: Bench) -> None:
    """Nothing before the final scoring reads the test split or depends on it."""
    mend = "Learn and choose from what before(data) and the batches give, and from nothing else"
    target = bench.domain(test="poisoned")
    for labels in bench.budgets():
        if passes_the_hard_way(bench, labels):
            continue
        with sealed(opened(target)[1], "images", "labels"):
            try:
                run = bench.learn(bench.set_up(labels, target))
            except SealedError as error:
                raise Broken(f"{error} were read before the final score. {mend}.") from error
        plain = bench.trained(labels)
        expect_same(plain, run, "depends on the examples of the test split", mend)


def sees_only_its_labels(bench: Bench) -> None:
    """Target labels beyond the cell's label budget are not read."""
    for labels in bench.budgets():
        if passes_the_hard_way(bench, labels):
            continue
        setup = bench.set_up(labels)
        with sealed(opened(bench.domain())[0], "labels"):
            try:
                bench.driver(setup).run()
            except SealedError as error:
                raise Broken(
                    f"{error} were read past the label budget. Take the labels of a view "
                    "(data.target.labels), never those of the examples behind it."
                ) from error


def saved_and_loaded(bench: Bench) -> None:
    """Its state dict, loaded into a newly attached strategy, gives the same predictions."""
    mend = (
        "Keep whatever predict uses in parameters or register_buffer, created in build, so that "
        "the state dict holds it"
    )
    for labels in bench.budgets():
        run, fresh = bench.trained(labels), bench.set_up(labels)
        file = io.BytesIO()
        torch.save(run.state, file)
        file.seek(0)
        try:
            fresh.strategy.load_state_dict(torch.load(file, weights_only=True), strict=True)
        except RuntimeError as error:
            raise Broken(f"its saved state does not load: {error}. {mend}.") from error
        same = torch.equal(_say(run.setup), _say(fresh))
        expect(same, "saved and loaded, it predicts something else", mend)


def _say(setup: Setup, rows: slice = slice(None)) -> Tensor:
    """Return a strategy's logits for some test examples."""
    view = setup.target.whole("test", setup.preprocess)
    setup.strategy.eval()
    with torch.no_grad():
        logits: Tensor = setup.strategy.predict(view.inputs(view.rows[rows]))
    return logits


def one_example_is_enough(bench: Bench) -> None:
    """A batch of one example can be predicted, with the same result as within a larger batch."""
    mend = "Let predict treat each example by itself: no statistics of the batch, no bare squeeze()"
    for labels in bench.budgets():
        setup = bench.trained(labels).setup
        many = _say(setup)
        try:
            one = _say(setup, slice(1))
        except Exception as error:
            raise Broken(f"predict fails on a batch of one: {error}. {mend}.") from error
        expect(
            one.shape == many[:1].shape and torch.allclose(one, many[:1], atol=1e-4, rtol=1e-4),
            "an example alone is predicted otherwise than within a batch",
            mend,
        )
