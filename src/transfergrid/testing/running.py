"""Checks of whole cells: what stays, what is seen, what comes out."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from transfergrid.data.batches import Batch, StepBatches
from transfergrid.runs.cell import learn, teach
from transfergrid.runs.curve import Fit
from transfergrid.runs.stages import Setup
from transfergrid.strategies.base import Strategy
from transfergrid.testing.bench import (
    SEED,
    Bench,
    Broken,
    Run,
    after_each,
    expect,
    opened,
    sealed,
)
from transfergrid.testing.tiny import SealedError


def same_seed_same_result(bench: Bench) -> None:
    """Two runs of one seed on as many threads agree bit for bit, weights and predictions."""
    what = "differs between two runs of the same seed"
    mend = (
        "Draw random numbers from torch in training, and from seeds.generator(self.block_seed, "
        "name) elsewhere; never from Python's or NumPy's global state"
    )
    for labels in bench.budgets():
        one, other = bench.trained(labels), bench.run(labels)
        _expect_same(one, other, what, mend)
        expect(torch.equal(one.predictions, other.predictions), f"what it predicts {what}", mend)


def _expect_same(one: Run, other: Run, what: str, mend: str) -> None:
    moved = _differences(one.state, other.state)
    expect(not moved, f"{_some(moved)} {what}", mend)
    expect(_same_fit(one.fitted, other.fitted), f"the training curve or chosen step {what}", mend)


def _same_fit(one: Fit, other: Fit) -> bool:
    curves = all(np.array_equal(one.curves[k], other.curves[k], True) for k in one.curves)
    return curves and (one.steps, one.chosen_step) == (other.steps, other.chosen_step)


def _differences(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    shared = [n for n in one if n in other and torch.equal(one[n], other[n])]
    return [name for name in {**one, **other} if name not in shared]


def _some(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def predictions_repeat(bench: Bench) -> None:
    """One finite row of logits per example, and the same ones every time."""
    for labels in bench.budgets():
        setup = bench.trained(labels).setup
        logits = _say(setup)
        shape = (len(setup.target.examples("test")), len(setup.target.classes))
        expect(
            tuple(logits.shape) == shape and bool(logits.isfinite().all()),
            f"predict gives {tuple(logits.shape)} values or some that are not finite",
            f"Return finite logits, (batch, classes): here {shape}",
        )
        bench.disturb()
        expect(
            torch.equal(logits, _say(setup)),
            "the same weights predict something else the second time",
            "Draw nothing at random in predict, nor change any state; dropout is off in eval mode",
        )


def frozen_stays_frozen(bench: Bench) -> None:
    """What trainable() does not name keeps every bit, running statistics included, in eval mode."""
    for labels in bench.budgets():
        setup = bench.set_up(labels)
        strategy = setup.strategy
        teach(setup, SEED, bench.machine)
        start = {n: t for n, t in _frozen(strategy).items() if n.startswith("backbone.")}
        start = {n: t for n, t in start.items() if n in dict(strategy.named_parameters())}
        ready: dict[str, Tensor] = {}
        awake: list[str] = []
        after_each(strategy, "prepare", lambda *_: ready.update(_frozen(strategy)))  # noqa: B023
        after_each(strategy, "training_step", lambda *_: awake.extend(_awake(strategy)))  # noqa: B023
        learn(strategy, setup, SEED, bench.machine, lambda values, step: None)
        _expect_kept(strategy, start | ready)
        expect(
            not awake,
            f"{_some(sorted(set(awake)))} is in training mode although nothing in it learns",
            "Call super().train() and leave the modes alone that it sets: BatchNorm and dropout "
            "of frozen parts must behave as at test time",
        )


def _expect_kept(strategy: Strategy, before: Mapping[str, Tensor]) -> None:
    now = _tensors(strategy)
    moved = [name for name, tensor in before.items() if not torch.equal(tensor, now[name])]
    expect(
        not moved,
        f"{_some(moved)} changed, but no group of trainable() names it",
        "Add it to trainable(), or do not touch it; BatchNorm moves in training mode even without "
        "a gradient",
    )


def _tensors(strategy: Strategy) -> dict[str, Tensor]:
    """Return parameters and buffers by name, a teacher's too."""
    found = {**dict(strategy.named_parameters()), **dict(strategy.named_buffers())}
    teacher = strategy.hparams.get("teacher")
    if isinstance(teacher, nn.Module):
        found |= {f"teacher.{name}": tensor for name, tensor in teacher.state_dict().items()}
    return found


def _learning(strategy: Strategy) -> set[int]:
    return {id(p) for group in strategy.trainable() for p in group.parameters}


def _frozen(strategy: Strategy) -> dict[str, Tensor]:
    """Return copies of all tensors that must not change: name to tensor."""
    learning = _learning(strategy)
    found = {}
    for name, tensor in _tensors(strategy).items():
        still = id(tensor) not in learning
        if name in dict(strategy.named_buffers()):
            still = not any(id(p) in learning for p in _surroundings(strategy, name))
        if still:
            found[name] = tensor.detach().clone()
    return found


def _surroundings(strategy: Strategy, buffer: str) -> list[nn.Parameter]:
    """Return the parameters of the smallest part that holds this buffer and has any."""
    path = buffer.split(".")[:-1]
    while True:
        parameters = list(strategy.get_submodule(".".join(path)).parameters())
        if parameters or not path:
            return parameters
        path.pop()


def _awake(strategy: Strategy) -> Iterator[str]:
    """Yield the layers in training mode that are in a part where nothing learns."""
    learning = _learning(strategy)
    for name, module in strategy.named_modules():
        parameters = list(module.parameters())
        if parameters and not any(id(p) in learning for p in parameters):
            inner = {name: module} | {f"{name}.{n}": m for n, m in module.named_modules() if n}
            yield from (n for n, m in inner.items() if m.training)


def sees_the_batches_of_its_block(bench: Bench) -> None:
    """At every step it gets the batch that all arms of the seed block get."""
    for labels in bench.budgets():
        setup, plan = bench.set_up(labels), bench.training
        if not setup.strategy.trainable():
            return
        seen: list[Batch] = []
        after_each(setup.strategy, "on_train_batch_start", lambda batch, _: seen.append(batch))  # noqa: B023
        bench.learn(setup)
        fresh = bench.set_up(labels).data
        every = StepBatches(fresh, SEED, len(seen), plan.batch_size, plan.augmentation)
        for step, batch in enumerate(seen):
            expect(
                _same_batch(batch, every[step]),
                f"the batch of step {step} is not the one that other arms of the seed block see",
                "Change neither the views in prepare(data) nor a batch in place; work on copies",
            )


def _same_batch(one: Batch, other: Batch) -> bool:
    ours, theirs = _parts(one), _parts(other)
    return not _differences(ours, theirs)


def _parts(batch: Batch) -> dict[str, Tensor]:
    found = {"unlabelled": batch.unlabelled, "index": batch.index}
    for name, part in (("target", batch.target), ("source", batch.source)):
        if part is not None:
            found |= {name: part.inputs, f"{name} labels": part.labels}
    parts: dict[str, Tensor] = {}
    for name, value in found.items():
        if isinstance(value, dict):
            parts |= {f"{name} {key}": tensor for key, tensor in value.items()}
        elif value is not None:
            parts[name] = value
    return parts


def cannot_reach_the_test_split(bench: Bench) -> None:
    """Nothing before the final score reads the test split or depends on it."""
    mend = "Learn and choose from what prepare(data) and the batches give, and from nothing else"
    target = bench.domain(test="poisoned")
    for labels in bench.budgets():
        with sealed(opened(target)[1], "images", "labels"):
            try:
                run = bench.learn(bench.set_up(labels, target))
            except SealedError as error:
                raise Broken(f"{error} were read before the final score. {mend}.") from error
        plain = bench.trained(labels)
        _expect_same(plain, run, "depends on the examples of the test split", mend)


def sees_only_its_labels(bench: Bench) -> None:
    """Target labels beyond those that the cell was given are not read."""
    for labels in bench.budgets():
        setup = bench.set_up(labels)
        with sealed(opened(bench.domain())[0], "labels"):
            try:
                _learn_only(setup, bench)
            except SealedError as error:
                raise Broken(
                    f"{error} were read past the label budget. Take the labels of a view "
                    "(data.train.labels), never those of the examples behind it."
                ) from error


def _learn_only(setup: Setup, bench: Bench) -> None:
    teach(setup, SEED, bench.machine)
    learn(setup.strategy, setup, SEED, bench.machine, lambda values, step: None)


def saved_and_loaded(bench: Bench) -> None:
    """Its state dict, loaded into a new one that was attached and prepared, predicts the same."""
    mend = (
        "Keep whatever predict uses in parameters or register_buffer, created in build or prepare "
        "(not in loss), so that the state dict holds it"
    )
    for labels in bench.budgets():
        run, fresh = bench.trained(labels), bench.prepared(labels)
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
    """A batch of one is predicted, and as it is within a larger batch."""
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
