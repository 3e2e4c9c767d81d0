"""What BatchNorm does with target batches is what each strategy says, by looking at its steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from transfergrid.data.batches import Batch
from transfergrid.data.torch_seed import seed_torch
from transfergrid.data.views import View
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import locate
from transfergrid.records.needs import Needs, usual_statistics
from transfergrid.records.shipped import conf_dir, strategies
from transfergrid.strategies.adaptation.shot import SHOT
from transfergrid.strategies.base import Strategy
from transfergrid.testing.bench import on_the_eve
from transfergrid.testing.conformance import bench_for

CONF = conf_dir() / "strategy"
LEARNS_NORMS = {"partial_finetuning": {"blocks": "all"}}
"""Arguments by which layers with BatchNorm learn, in a network whose last block has none."""


def told(name: str) -> str:
    about = yaml.safe_load((CONF / f"{name}.yaml").read_text())["about"]
    return str(about.get("target_statistics", "recorded"))


def statistics(strategy: Strategy) -> dict[str, torch.Tensor]:
    """Return copies of all running means and variances."""
    return {
        f"{name}.{own}": value.clone()
        for name, module in strategy.named_modules()
        if isinstance(module, _BatchNorm)
        for own, value in module.named_buffers()
    }


@contextmanager
def unrecorded(strategy: Strategy, seen: set[str]) -> Iterator[None]:
    """Note whether any BatchNorm normalises by a batch of which it takes no note."""

    def look(module: nn.Module, inputs: Any) -> None:
        if module.training and not module.track_running_stats:
            seen.add("normalised")

    layers = [m for m in strategy.modules() if isinstance(m, _BatchNorm)]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    yield
    for hook in hooks:
        hook.remove()


def differ(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(one[name], other[name]) for name in one)


def with_target_of(batch: Batch, other: Batch) -> Batch:
    """Return a batch with another one's target inputs, labelled or not, and its own labels."""
    target = batch.target
    if target is not None and other.target is not None:
        target = replace(other.target, labels=target.labels, rows=target.rows)
    return replace(batch, target=target, unlabelled=other.unlabelled, views=other.views)


def in_steps(bench: Any, labels: Any) -> set[str]:
    found = set[str]()
    for moment in bench.moments(labels):
        other = bench.batch(moment.setup.data.of_steps(moment.phase.counts), 1, moment.phase.reads)
        strategy = moment.strategy
        before = {name: value.clone() for name, value in strategy.state_dict().items()}
        for objective in moment.phase.objectives:
            after = []
            for batch in (moment.batch, with_target_of(moment.batch, other)):
                seed_torch(0)
                with unrecorded(strategy, found):
                    objective.loss(batch, 0.5)
                after.append(statistics(strategy))
                strategy.load_state_dict(before)
            found |= {"recorded"} if differ(*after) else set()
    return found


def between_steps(bench: Any, labels: Any) -> set[str]:
    """Let all `before` run, once with the target's inputs and once with the first one alone."""
    after = []
    for same in (False, True):
        setup = bench.set_up(labels)
        for name in ("train", "unlabelled"):
            view = getattr(setup.data, name)
            if same and view is not None:
                alike = np.full_like(view.indices, view.indices[0])
                setattr(setup.data, name, View(view.prepared, alike, view.labels))
        driver = bench.driver(setup)
        for number, phase in enumerate(driver.phases):
            if phase.before is not None:
                on_the_eve(driver, number)
        after.append(statistics(setup.strategy))
    return {"recorded"} if differ(*after) else set()


@pytest.mark.parametrize("name", strategies())
def test_each_does_with_target_batches_what_its_file_says(name):
    bench = bench_for(
        locate(strategies()[name]), CONF / f"{name}.yaml", **LEARNS_NORMS.get(name, {})
    )
    labels = bench.budgets()[0]
    strategy = bench.spare(labels).strategy
    if not statistics(strategy):  # no network, or none with BatchNorm: nothing is to be seen
        return
    found = in_steps(bench, labels) if strategy.needs.steps else set()
    if "recorded" not in found:
        found |= between_steps(bench, labels)
    seen = next((word for word in ("recorded", "normalised") if word in found), "unseen")
    assert told(name) == seen


@pytest.mark.parametrize(
    ("needs", "moved", "word"),
    [
        (Needs(), False, "recorded"),
        (Needs(target_labels="unused", domains=1), False, "unseen"),
        (Needs(steps=False), False, "unseen"),
        (Needs(source="none"), False, "unseen"),
        (Needs(unlabelled=True), False, "normalised"),
        (Needs(unlabelled=True, steps=False), True, "recorded"),
    ],
)
def test_what_follows_from_needs(needs, moved, word):
    assert usual_statistics(needs, moved) == word


def test_what_is_said_goes_before_what_follows_and_a_word_that_there_is_not_is_refused():
    class Held(SHOT):
        target_statistics = "unseen"

    assert "target_statistics" not in SHOT.about()
    assert Held.about()["target_statistics"] == "unseen"
    with pytest.raises(BadInputError, match=r"target_statistics of Odd.*did you mean recorded\?"):

        class Odd(SHOT):
            target_statistics = "recordet"
