"""Notes what a cell is like before its training and after, without touching anything of it.

Costs a few forward passes of a few examples. Nothing here chooses anything, reads the test split,
draws from a global random state or stops a cell: what cannot be had is left out with the reason.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfergrid.batches import View
from transfergrid.diagnostics import closed_forms
from transfergrid.diagnostics.findings import (
    BatchNorm,
    Diagnostics,
    Domains,
    Drift,
    Features,
    Forgetting,
    Head,
    Optimisation,
    Priors,
    Probe,
)
from transfergrid.diagnostics.reading import (
    Pooled,
    Sample,
    Seen,
    as_array,
    brief,
    look,
    moved,
    on_device,
    spread,
)
from transfergrid.factory import Config, build
from transfergrid.fitting import Fit, Machine
from transfergrid.identity import architecture_of
from transfergrid.materials import OpenDomain
from transfergrid.sources.backbone import evaluating
from transfergrid.stages import Outcome, Setup

FEWEST, MOST = 64, 256
"""Examples of each part that are looked at."""
SHARE = 0.02
"""Of the examples that training passes through the backbone: so many of each part."""
JUDGES = 20
"""Validation examples from which on they judge the head; of fewer each counts five points."""
LARGEST_RANDOM = 50_000_000
"""Parameters up to which a second model, with random weights, is made for comparison."""

T = TypeVar("T")
Labels = NDArray[np.int64]


class Watch:
    """Looks at a cell twice: `begin` before it learns, `end` after it was scored.

    Args:
        setup: of the cell.
        source: the cell's config of its source; None where it has none.
        machine: what the cell runs on.
        scored: the training examples that are scored after training, in that order.
    """

    def __init__(
        self, setup: Setup, source: Config | None, machine: Machine, scored: View | None
    ) -> None:
        self.setup, self.source, self.machine, self.scored = setup, source, machine, scored
        self.backbone = setup.backbone
        self.device = torch.device("cpu")
        self.skipped: dict[str, str] = {}
        self.before: dict[str, Seen] = {}
        self.random: Pooled | None = None
        self.start: dict[str, Tensor] = {}
        self.samples: dict[str, Sample] = {}
        self.labels: dict[str, Labels] = {}
        plan = setup.strategy.training_plan
        self.batch = plan.batch_size
        self.most = int(np.clip(SHARE * plan.steps * plan.batch_size, FEWEST, MOST))

    def begin(self) -> None:
        """Look at the backbone as the strategy got it."""
        with untouched_randomness():
            self._try("before", self._begin)

    def end(self, fitted: Fit, outcome: Outcome) -> Diagnostics:
        """Look at the backbone as it was tested; return what was found."""
        found = Diagnostics(examples=self.most, skipped=self.skipped)
        if self.backbone is None:
            self.skipped["all"] = "no backbone"
        if self.backbone is None or "before" in self.skipped:
            return found
        with untouched_randomness():
            after = self._try("after", self._after) or {}
            return replace(
                found,
                optimisation=self._try("optimisation", lambda: self._optimisation(fitted)),
                features=self._try("features", lambda: self._features(after)),
                head=self._try("head", lambda: self._head(after, outcome)),
                batch_norm=self._try("batch_norm", lambda: self._batch_norm(after)),
                drift=self._try("drift", lambda: self._drift(after)),
                priors=self._try("priors", lambda: self._priors(after)),
                domains=self._try("domains", lambda: self._domains(after)),
                forgetting=self._try("forgetting", lambda: self._forgetting(after)),
            )

    def _try(self, name: str, find: Callable[[], T]) -> T | None:
        """Return what is found; a diagnostic that fails must not fail the cell."""
        try:
            return find()
        except Exception as error:  # of a user's own backbone or domain: anything
            lines = str(error).splitlines()
            self.skipped[name] = f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]
            return None

    # Before -------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self.backbone is None:
            return
        self.device = self.machine.device
        self._try("samples", self._draw_samples)
        self._try("source", self._draw_source)
        self.start = self._state()
        for name, sample in self.samples.items():
            if name != "validation":
                self.before[name] = self._look(name, sample)
        self._try("random", self._look_at_random)

    def _draw_samples(self) -> None:
        data, target = self.setup.data, self.setup.target
        for name, view in {"train": self.scored, "validation": data.validation}.items():
            if view is not None:
                rows = spread(len(view), self.most)
                self.samples[name] = Sample.of_view(view, rows)
                self.labels[name] = view.labels[rows]
        hidden = self.setup.drawn.unlabelled
        rows, preprocess = hidden[spread(len(hidden), self.most)], self.setup.preprocess
        seen = next((v for v in (data.train, data.unlabelled, data.validation) if v), None)
        self.samples["target"] = (
            Sample(seen.prepared.rows, preprocess, rows)  # what is prepared for them anyway
            if seen is not None
            else Sample.of_examples(target.examples("pool"), preprocess, rows)
        )

    def _draw_source(self) -> None:
        """Take examples of the source's own domain, where its knowledge can be lost."""
        view, needs = self.setup.data.source, self.setup.strategy.needs
        if view is not None:
            rows = spread(len(view), self.most)
            self.samples["source"] = Sample.of_view(view, rows)
            self.labels["source"] = view.labels[rows]
            return
        domain = (self.source or {}).get("domain")
        if needs.source != "weights" or needs.teacher or domain is None or not self._learns():
            return
        examples = OpenDomain(domain).examples("pool")
        rows = spread(len(examples), self.most)
        preprocess = self.setup.preprocess
        self.samples["source"] = Sample.of_examples(examples, preprocess, rows)
        self.labels["source"] = examples.labels[rows]

    def _learns(self) -> bool:
        assert self.backbone is not None
        return any(p.requires_grad for p in self.backbone.parameters())

    def _state(self) -> dict[str, Tensor]:
        """Return copies, on the CPU, of what training can change: the rest needs none."""
        assert self.backbone is not None
        learning = {k: p for k, p in self.backbone.named_parameters() if p.requires_grad}
        state = {**learning, **dict(self.backbone.named_buffers())}
        copies = {name: value.detach().cpu().clone() for name, value in state.items()}
        head = getattr(self.setup.strategy, "head", None)
        own = head.state_dict() if isinstance(head, torch.nn.Module) else {}
        return copies | {f"head {k}": v.detach().cpu().clone() for k, v in own.items()}

    def _look(self, name: str, sample: Sample) -> Seen:
        assert self.backbone is not None
        return look(self.backbone, sample, self.batch, self.device, whole=name == "target")

    def _look_at_random(self) -> None:
        """Embed the training examples with random weights, unless those are what there is."""
        needs, sample = self.setup.strategy.needs, self.samples.get("train")
        if needs.source == "architecture" or needs.teacher or sample is None or not self.source:
            return
        assert self.backbone is not None
        if sum(p.numel() for p in self.backbone.parameters()) > LARGEST_RANDOM:
            raise ValueError(f"more than {LARGEST_RANDOM} parameters")
        torch.manual_seed(0)
        made = build(architecture_of(self.source)).build()
        self.random = look(made, sample, self.batch, self.device).embeddings

    # After --------------------------------------------------------------------------------------

    def _after(self) -> dict[str, Seen]:
        """Look again; a backbone that did not change is not looked at twice."""
        same = self._is_unchanged()
        return {
            name: self.before[name] if same and name in self.before else self._look(name, sample)
            for name, sample in self.samples.items()
        }

    def _is_unchanged(self) -> bool:
        return not self._learns() and all(
            torch.equal(self.start[name], value.detach().cpu())
            for name, value in self._current().items()
        )

    def _current(self) -> dict[str, Tensor]:
        assert self.backbone is not None
        state = {**dict(self.backbone.named_parameters()), **dict(self.backbone.named_buffers())}
        return {name: value for name, value in state.items() if name in self.start}

    def _optimisation(self, fitted: Fit) -> Optimisation | None:
        if not fitted.steps:
            self.skipped["optimisation"] = "no steps"
            return None
        losses = fitted.curves.get("train_loss", np.empty(0))
        strategy = self.setup.strategy
        head = getattr(strategy, "head", None)
        state = head.state_dict() if isinstance(head, torch.nn.Module) else {}
        pairs = [
            (self.start[f"head {k}"], v) for k, v in state.items() if f"head {k}" in self.start
        ]
        return Optimisation(
            first_loss=brief(losses[0]) if len(losses) else None,
            last_loss=brief(losses[-1]) if len(losses) else None,
            head_change=relative_change(pairs),
        )

    def _features(self, after: dict[str, Seen]) -> Features | None:
        if "train" not in after:
            self.skipped["features"] = "no target labels"
            return None
        random_ = self.random

        def probed(embeddings: Pooled | None) -> Probe | None:
            return None if embeddings is None else self._probe(embeddings, self.labels["train"])

        before = self.before["train"].embeddings
        return Features(
            random=probed(random_), before=probed(before), after=probed(after["train"].embeddings)
        )

    def _probe(self, embeddings: Pooled, labels: Labels) -> Probe | None:
        counts = np.bincount(labels)
        if counts.max() < 2 or len(labels) < 4:
            self.skipped["features"] = "one label a class: nothing to leave out"
            return None
        classes = len(counts)
        return Probe(
            n=len(labels),
            chance=brief(counts.max() / len(labels)),
            knn=brief(closed_forms.knn_accuracy(embeddings, labels, classes)),
            linear=brief(closed_forms.linear_accuracy(embeddings, labels, classes)),
        )

    def _head(self, after: dict[str, Seen], outcome: Outcome) -> Head | None:
        if "train" not in after or outcome.train is None:
            return None
        labels, rows = self.labels["train"], after["train"].embeddings
        classes = len(self.setup.target.classes)
        fitted = closed_forms.ridge(rows, closed_forms.one_hot(labels, classes))
        if outcome.validation is not None and len(outcome.validation[1]) >= JUDGES:
            on, judged, truth = "validation", outcome.validation[0], self.labels["validation"]
            said = fitted.predict(after["validation"].embeddings)
        else:
            on, judged, truth, said = "train", outcome.train[0], labels, fitted.left_out
        trained = judged[torch.from_numpy(spread(len(judged), self.most))].argmax(dim=1).numpy()
        return Head(
            on=on,  # type: ignore[arg-type]
            n=len(truth),
            trained=brief(float((trained == truth).mean())),
            refitted=brief(float((said.argmax(axis=1) == truth).mean())),
        )

    def _batch_norm(self, after: dict[str, Seen]) -> BatchNorm | None:
        if after["target"].statistics is None:
            return None
        source = self.before.get("source")
        return BatchNorm(
            before=self.before["target"].statistics,
            after=after["target"].statistics,
            source=source.statistics if source else None,
        )

    def _drift(self, after: dict[str, Seen]) -> Drift:
        assert self.backbone is not None
        blocks, current = self.backbone.blocks("coarse"), self._current()
        changes = [
            relative_change([(self.start[n], current[n]) for n in b.parameters if n in self.start])
            if b.parameters
            else None
            for b in blocks
        ]
        old, new = self.before["target"], after["target"]
        return Drift(
            blocks=tuple(block.name for block in blocks),
            weights=tuple(changes),
            cka=tuple(_similar(a, b) for a, b in zip(old.blocks, new.blocks, strict=True)),
            embedding_cka=_similar(old.embeddings, new.embeddings),
        )

    def _priors(self, after: dict[str, Seen]) -> Priors:
        setup, data = self.setup, self.setup.data
        given = np.array([setup.drawn.per_class[str(c)] for c in range(len(setup.target.classes))])
        same = data.source is not None and data.source_classes == data.classes
        return Priors(
            given=_shares(given) if data.train is not None else None,
            predicted=_shares(self._predicted_counts()),
            source=_shares(np.bincount(data.source.labels, minlength=len(given)))  # type: ignore[union-attr]
            if same
            else None,
        )

    def _predicted_counts(self) -> NDArray[np.int64]:
        strategy, device = self.setup.strategy, self.device
        with torch.no_grad(), evaluating(strategy), on_device(strategy, device):
            inputs = self.samples["target"].batches(self.batch)
            said = [as_array(strategy.predict(moved(i, device))).argmax(axis=1) for i in inputs]
        return np.bincount(np.concatenate(said), minlength=len(self.setup.target.classes))

    def _domains(self, after: dict[str, Seen]) -> Domains | None:
        if "source" not in after:
            return None
        n = min(len(self.samples["source"]), len(self.samples["target"]))
        pairs = [(s["source"].embeddings, s["target"].embeddings) for s in (self.before, after)]
        before, after_ = (
            brief(closed_forms.proxy_a_distance(s[spread(len(s), n)], t[spread(len(t), n)]))
            for s, t in pairs
        )
        return Domains(
            n=n,
            before=before,
            after=after_,
            match_before=self._match(self.before),
            match_after=self._match(after),
        )

    def _match(self, seen: dict[str, Seen]) -> float | None:
        data = self.setup.data
        if "train" not in seen or data.source is None or data.source_classes != data.classes:
            return None
        source, train = seen["source"].embeddings, seen["train"].embeddings
        return brief(
            closed_forms.matching(source, self.labels["source"], train, self.labels["train"])
        )

    def _forgetting(self, after: dict[str, Seen]) -> Forgetting | None:
        if "source" not in after:
            return None
        both = (self.before["source"].embeddings, after["source"].embeddings)
        before, after_ = (self._probe(seen, self.labels["source"]) for seen in both)
        return Forgetting(before=before, after=after_)


def relative_change(pairs: list[tuple[Tensor, Tensor]]) -> float:
    """Return the L2 norm of all changes (old, new) over that of the old values; 0 without any."""
    squares = [
        (
            float((new.detach().cpu() - old).float().square().sum()),
            float(old.float().square().sum()),
        )
        for old, new in pairs
        if old.is_floating_point()
    ]
    moved_, was = (sum(side) for side in zip(*squares, strict=True)) if squares else (0.0, 0.0)
    return brief((moved_ / was) ** 0.5) if was > 0 else 0.0


def _similar(old: Pooled | None, new: Pooled | None) -> float | None:
    if old is None or new is None or old.shape != new.shape:
        return None
    value = closed_forms.cka(old, new)
    return None if value is None else brief(value)


def _shares(counts: NDArray[Any]) -> tuple[float, ...] | None:
    total = counts.sum()
    return tuple(brief(float(count / total)) for count in counts) if total else None


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """Leave every global random state as it is found."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    used = torch.cuda.device_count() if torch.cuda.is_initialized() else 0  # type: ignore[no-untyped-call]
    try:
        with torch.random.fork_rng(devices=range(used)):
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
