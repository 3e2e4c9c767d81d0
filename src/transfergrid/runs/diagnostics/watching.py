"""Diagnostics of a cell: looks at it before and after training, without changing anything.

They cost a few forward passes of a few examples. Nothing here chooses anything, reads the test
split, changes a global random state or stops a cell: what fails is left out, with the reason.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from transfergrid.data.opened import OpenDomain
from transfergrid.data.torch_seed import seed_torch
from transfergrid.data.views import View
from transfergrid.records.factory import Config, build
from transfergrid.records.findings import Diagnostics
from transfergrid.records.identity import architecture_of
from transfergrid.runs.curve import Fit
from transfergrid.runs.diagnostics import noting
from transfergrid.runs.diagnostics.noting import Looks, Nothing
from transfergrid.runs.diagnostics.reading import (
    Pooled,
    Sample,
    Seen,
    as_array,
    look,
    spread,
)
from transfergrid.runs.machine import Machine
from transfergrid.runs.predictions import said
from transfergrid.runs.stages import Outcome, Setup
from transfergrid.runs.standing import standing
from transfergrid.sources.backbone import Backbone

FEWEST, MOST = 64, 256
"""Least and greatest number of examples of each part that are looked at."""
NOT_ASKED = "trainer.diagnostics=none"
"""Why nothing was looked at."""
SHARE = 0.02
"""Examples of each part, as a share of those that training passes through the backbone."""
LARGEST_RANDOM = 50_000_000
"""Most parameters of a backbone of which a second one, with random weights, is made to compare."""

T = TypeVar("T")


class Watch:
    """Looks at a cell twice: `begin` before it learns, `end` after it was scored.

    This class looks at everything, at the price of many passes.

    Args:
        setup: the cell's parts.
        source: config of the cell's source; None if it has none.
        machine: where the cell runs.
        scored: the training examples that are scored after training, in that order.
    """

    fewest: ClassVar[int] = FEWEST
    """Least number of examples of each part that are looked at, if it has so many."""

    def __init__(
        self, setup: Setup, source: Config | None, machine: Machine, scored: View | None
    ) -> None:
        self.setup, self.source, self.machine, self.scored = setup, source, machine, scored
        plan = setup.strategy.training_plan
        self.batch = plan.batch_size
        self.looks = Looks(int(np.clip(SHARE * plan.steps * plan.batch_size, self.fewest, MOST)))
        self.device = torch.device("cpu")
        self.samples: dict[str, Sample] = {}
        self.skipped: dict[str, str] = {}

    def begin(self) -> None:
        """Look at the backbone as the strategy got it."""
        if self.machine.diagnostics == "none":
            self.skipped["before"] = NOT_ASKED
            return
        with untouched_randomness():
            self._try("before", self._begin)

    def end(self, fitted: Fit, outcome: Outcome) -> Diagnostics:
        """Look at the backbone as it was tested; return the diagnostics."""
        extent, most = self.machine.diagnostics, self.looks.most
        found = Diagnostics(extent=extent, examples=most, skipped=self.skipped)
        with untouched_randomness():
            if "before" not in self.skipped:
                self._try("after", lambda: self._look_again(outcome))
            if self.skipped.keys() & {"before", "after"}:
                return found
            setup, looks, backbone = self.setup, self.looks, self.backbone
            return replace(
                found,
                optimisation=self._try(
                    "optimisation", lambda: noting.optimisation(setup, looks, fitted)
                ),
                features=self._try("features", lambda: noting.features(looks)),
                head=self._try("head", lambda: noting.head(setup, looks, outcome)),
                batch_norm=self._try("batch_norm", lambda: noting.batch_norm(looks)),
                drift=self._try("drift", lambda: noting.drift(backbone, looks)),
                priors=self._try("priors", lambda: noting.priors(setup, self._predicted)),
                domains=self._try("domains", lambda: noting.domains(setup, looks)),
                forgetting=self._try("forgetting", lambda: noting.forgetting(looks)),
            )

    def _try(self, name: str, find: Callable[[], T]) -> T | None:
        """Return what `find` returns; if it raises, note why: it must not fail the cell."""
        try:
            return find()
        except Nothing as reason:
            self.skipped[name] = str(reason)
        except Exception as error:  # a user's own backbone or domain may raise anything
            lines = str(error).splitlines()
            self.skipped[name] = f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]
        return None

    @property
    def backbone(self) -> Backbone:
        """The backbone that the strategy trains."""
        found = getattr(self.setup.strategy, "backbone", None)
        if not isinstance(found, Backbone):
            raise Nothing("no backbone")
        return found

    # Before -------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.looks.start = self._state(self.backbone)
        self.device = self.machine.device
        self._draw_target()
        self._try("source", self._draw_source)
        self._look_before()

    def _look_before(self) -> None:
        for name, sample in self.samples.items():
            if name != "validation":
                self.looks.before[name] = self._look(name, sample)
        if self._starts_from_source() and "train" in self.samples:
            self._try("renormalised", self._look_renormalised)
            self._try("random", self._look_at_random)

    def _draw_target(self) -> None:
        for name, view in {"train": self.scored, "validation": self.setup.data.validation}.items():
            if view is not None:
                self._draw(name, view)
        self._draw_unlabelled()

    def _draw_unlabelled(self) -> None:
        data, drawn = self.setup.data, self.setup.drawn
        rows = drawn.unlabelled[spread(len(drawn.unlabelled), self.looks.most)]
        every = np.arange(len(rows), dtype=np.int64)
        seen = next((v for v in (data.train, data.unlabelled, data.validation) if v), None)
        self.samples["target"] = (
            Sample.of_view(View(seen.prepared, rows), every)  # these inputs are prepared anyway
            if seen is not None
            else Sample.of_few(self.setup.target.view("pool", self.setup.preprocess, rows))
        )

    def _draw(self, name: str, view: View) -> None:
        rows = spread(len(view), self.looks.most)
        self.samples[name], self.looks.labels[name] = Sample.of_view(view, rows), view.labels[rows]

    def _draw_source(self) -> None:
        """Draw examples of the source's domain, if the cell trains on it or may forget it."""
        needs, domain = self.setup.strategy.needs, (self.source or {}).get("domain")
        if self.setup.data.source:
            self._draw("source", self.setup.data.source[0])
            return
        if (
            needs.source not in ("weights", "head")
            or needs.teacher
            or domain is None
            or not self._learns()
        ):
            return
        opened = OpenDomain(domain)
        rows = spread(len(opened.examples("pool")), self.looks.most)
        view = opened.view("pool", self.setup.preprocess, rows)
        self.samples["source"], self.looks.labels["source"] = Sample.of_few(view), view.labels

    def _learns(self) -> bool:
        return any(p.requires_grad for p in self.backbone.parameters())

    def _state(self, backbone: Backbone) -> dict[str, Tensor]:
        """Return copies, on the CPU, of the backbone's and the head's tensors that can change."""
        learning = {k: p for k, p in backbone.named_parameters() if p.requires_grad}
        head = getattr(self.setup.strategy, "head", None)
        own = head.state_dict() if isinstance(head, nn.Module) else {}
        state = {**learning, **dict(backbone.named_buffers())}
        state |= {f"head {name}": value for name, value in own.items()}
        return {name: value.detach().cpu().clone() for name, value in state.items()}

    def _look(self, name: str, sample: Sample) -> Seen:
        target, own = name == "target", name == "source" and name not in self.looks.before
        return look(
            self.backbone,
            sample,
            self.batch,
            self.device,
            blocks=target,
            statistics=target or own,
        )

    def _starts_from_source(self) -> bool:
        """Return whether the backbone starts from a source's weights, which may not be random."""
        needs = self.setup.strategy.needs
        return needs.source != "architecture" and not needs.teacher and bool(self.source)

    def _look_renormalised(self) -> None:
        """Embed the training examples with BatchNorm by batch statistics, if it has BatchNorm."""
        if self.looks.before["target"].statistics is not None:
            self.looks.renormalised = self._embedded(self.backbone)

    def _look_at_random(self) -> None:
        """Embed the training examples by the same architecture with random weights."""
        if sum(p.numel() for p in self.backbone.parameters()) > LARGEST_RANDOM:
            raise Nothing(f"more than {LARGEST_RANDOM} parameters")
        seed_torch(0)
        made: Backbone = build(architecture_of(self.source or {})).build()
        self.looks.random = self._embedded(made)

    def _embedded(self, backbone: Backbone) -> Pooled:
        sample = self.samples["train"]
        return look(backbone, sample, self.batch, self.device, renormalised=True).embeddings

    # After --------------------------------------------------------------------------------------

    def _look_again(self, outcome: Outcome) -> None:
        """Look again after training; reuse the first look if the backbone did not change."""
        before = self.looks.before if self._is_unchanged() else {}
        self.looks.after = {
            name: before[name] if name in before else self._look(name, sample)
            for name, sample in self.samples.items()
        }

    def _is_unchanged(self) -> bool:
        return not self._learns() and all(
            torch.equal(self.looks.start[name], value.detach().cpu())
            for name, value in self.backbone.named_buffers()
            if name in self.looks.start
        )

    def _predicted(self) -> NDArray[np.int64] | None:
        """Return how many examples of the target sample are predicted as each class."""
        strategy, view = self.setup.strategy, self.samples["target"].view
        still = standing(strategy, strategy.all_phases(), self.machine, [view])
        outputs = as_array(said(strategy, strategy.predict, view, self.machine, standing=still))
        return np.bincount(outputs.argmax(axis=1), minlength=len(self.setup.target.classes))


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """Restore all global random states after the block."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    used = torch.cuda.device_count() if torch.cuda.is_initialized() else 0  # type: ignore[no-untyped-call]
    try:
        with torch.random.fork_rng(devices=range(used)):
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
