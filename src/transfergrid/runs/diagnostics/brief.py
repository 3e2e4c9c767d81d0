"""Brief diagnostics, which take few forward passes or none: for every cell of every grid.

Embeddings before training come from the cache, which all cells of a source share. Embeddings of
labelled target examples after training are recorded while these are scored. So only a few examples
of the source and, for BatchNorm, of the target pass through the trained network.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from transfergrid.data.inputs import Inputs
from transfergrid.data.views import View, tensors_of
from transfergrid.records.factory import Config
from transfergrid.records.ledgers.cached import TooLargeError
from transfergrid.runs.diagnostics.noting import JUDGES
from transfergrid.runs.diagnostics.reading import (
    Moments,
    Sample,
    Seen,
    as_array,
    finite,
    look,
    spread,
)
from transfergrid.runs.diagnostics.watching import Watch
from transfergrid.runs.machine import Machine
from transfergrid.runs.stages import Outcome, Setup
from transfergrid.runs.standing import Standing, standing
from transfergrid.sources.backbone import Backbone

FEWEST = 32
"""Least number of source examples, and of labelled target examples."""
WATCHED = 16
"""Examples that BatchNorm's statistics are compared on; each has many positions that count."""

LEAST = 512
"""Fewest training examples, counted as often as they are met, for passes through the trained
network; in a shorter training these would cost more than about a twentieth of it."""
TOO_SHORT = f"trained on fewer than {LEAST} examples: trainer.diagnostics=full"


def watch_over(setup: Setup, source: Config | None, machine: Machine, scored: View | None) -> Watch:
    """Return the watch that looks at a cell as thoroughly as was asked for; see `Watch`."""
    kind = BriefWatch if machine.diagnostics == "short" else Watch
    return kind(setup, source, machine, scored)


class BriefWatch(Watch):
    """Looks at what is at hand; labelled target examples stand in for unlabelled ones."""

    fewest: ClassVar[int] = FEWEST
    few: dict[str, Sample]
    """The samples, of target and source, that BatchNorm's statistics are compared on."""

    @override
    def _begin(self) -> None:
        plan = self.setup.strategy.training_plan
        if self._learns() and plan.steps * plan.batch_size < LEAST:
            self.looks.left_out = TOO_SHORT
        super()._begin()

    @override
    def _draw_target(self) -> None:
        data = self.setup.data
        if self.scored is not None:
            self._draw("train", self.scored)
        if data.validation is not None and len(data.validation) >= JUDGES:
            self._draw("validation", data.validation)
        if self.scored is None or data.unlabelled is not None:
            self._draw_unlabelled()

    @override
    def _look_before(self) -> None:
        before = self.looks.before
        self.few = self._few()
        samples = {name: s for name, s in self.samples.items() if name != "validation"}
        views = [sample.view for sample in (*samples.values(), *self.few.values())]
        still = standing(self.setup.strategy, (), self.machine, views, represented=False)
        for name, sample in samples.items():
            before[name] = self._passed(sample) if still is None else _kept(sample, still)
        if "target" not in before:
            before["target"] = before["train"]
        for name, sample in self.few.items():
            seen = None if still is None else _kept_statistics(self.backbone, sample, still)
            seen = seen or self._passed(sample, statistics=True)
            before[name] = replace(before[name], statistics=seen.statistics, watched=seen.watched)

    @override
    def _draw_source(self) -> None:
        if not self.looks.left_out:
            super()._draw_source()

    def _few(self) -> dict[str, Sample]:
        """Return the samples for BatchNorm; the same in every cell of a target and source."""
        if self.looks.left_out or not Moments(self.backbone).layers:
            return {}
        data, target = self.setup.data, self.setup.target
        rows = spread(len(target.examples("pool")), WATCHED)
        seen = next((v for v in (data.train, data.unlabelled, data.validation) if v), None)
        found = {
            "target": Sample.of_view(View(seen.prepared, rows), np.arange(len(rows)))
            if seen is not None
            else Sample.of_few(target.view("pool", self.setup.preprocess, rows))
        }
        if "source" in self.samples:
            source = self.samples["source"]
            found["source"] = source.part(spread(len(source), WATCHED))
        return found

    def _passed(self, sample: Sample, statistics: bool = False) -> Seen:
        return look(self.backbone, sample, self.batch, self.device, statistics=statistics)

    @override
    def _look_again(self, outcome: Outcome) -> None:
        before, after = self.looks.before, self.looks.after
        for name in {"train", "validation"} & self.samples.keys():
            heard = outcome.embeddings.get(name)
            after[name] = self._passed(self.samples[name]) if heard is None else self._some(heard)
        if self._is_unchanged():
            after.update(before)
            return
        for name in {"target", "source"} & self.samples.keys():
            after[name] = self._passed(self.samples[name])
        if "target" not in after:
            after["target"] = after["train"]
        if "target" in self.few:
            seen = self._passed(self.few["target"], statistics=True)
            after["target"] = replace(
                after["target"], statistics=seen.statistics, watched=seen.watched
            )

    def _some(self, heard: Tensor) -> Seen:
        return Seen(finite(as_array(heard[spread(len(heard), self.looks.most)])))

    @override
    def _predicted(self) -> NDArray[np.int64] | None:
        return None


def _kept(sample: Sample, still: Standing) -> Seen:
    """Return the cached embeddings of a sample by the backbone as the strategy got it."""
    (embeddings,) = tensors_of(still.view(sample.view).inputs(sample.view.rows))
    return Seen(finite(as_array(embeddings)))


def _kept_statistics(backbone: Backbone, sample: Sample, still: Standing) -> Seen | None:
    """Return BatchNorm's statistics from cached moments of each example; None if impossible."""
    norms = Moments(backbone)

    def tell(inputs: Inputs) -> tuple[Tensor, ...]:
        return (norms.of_each(lambda: backbone.embed(inputs)),)

    try:
        (each,) = still.told("BatchNorm's inputs", sample.view, tell)
    except (ValueError, TooLargeError):
        return None
    norms.take(torch.from_numpy(each))
    return Seen(np.empty((0, 0)), statistics=norms.summary(), watched=len(each))
