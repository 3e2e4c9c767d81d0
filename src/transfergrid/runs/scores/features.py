"""One pass of a frozen source over the examples that a seed block may learn from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transfergrid.data.domain import Examples
from transfergrid.data.inputs import Inputs
from transfergrid.data.opened import OpenDomain
from transfergrid.data.torch_seed import seed_torch
from transfergrid.data.views import prepared
from transfergrid.records.cell import Labels
from transfergrid.records.factory import Config, build
from transfergrid.records.needs import Needs
from transfergrid.records.printing import say
from transfergrid.records.seeds import generator
from transfergrid.records.tracking import NoTracker, RunCard
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.machine import Machine
from transfergrid.runs.pretraining import SourceMaker
from transfergrid.runs.scores import posteriors
from transfergrid.runs.scores.base import Features, Floats, Ints, Targets
from transfergrid.runs.starting import start
from transfergrid.sources.backbone import Backbone, evaluating
from transfergrid.sources.source import Source

CAP = 2000
"""So many examples of the target, and of the source domain, are embedded at most."""
BATCH = 64
KEPT_SOURCES = 8


class TellsOfTraining(NoTracker):
    """Says that a source must be trained first."""

    def start(self, card: RunCard) -> None:
        """Print one line."""
        say(f"training a source first, once: {card.name}", flush=True)


class FeaturePasses:
    """Embeds examples with frozen sources; an example that a source has embedded is kept.

    Args:
        results: the ledger's folder, for sources that are trained here.
        machine: what to run on.
    """

    def __init__(self, results: Path, machine: Machine) -> None:
        self.device = machine.device
        self.maker = SourceMaker(results / "sources", machine, TellsOfTraining(), Stopwatch())
        self._seen: OrderedDict[tuple[str, str], dict[int, Floats]] = OrderedDict()

    def of(
        self, source: Config, target: Config, labels: Labels, seed: int
    ) -> tuple[Features, dict[str, Any]]:
        """Return the features of a seed block's training examples, and notes on them.

        The labels are those that a cell of this seed block draws, less its validation part; with
        no labels, examples come from the whole pool. The test split is never read.

        Raises:
            BadInputError: source or target cannot be had.
        """
        domain, made = OpenDomain(target), build(source)
        backbone = start(source, Needs(), self.maker, seed).backbone
        drawn = domain.draw(labels, seed)
        rows = _some(drawn.train if labels != 0 else drawn.unlabelled, seed)
        pool = domain.examples("pool")
        embedded = self._embedded(backbone, domain.key, pool, rows)
        brought = self._source_domain(made, source.get("domain"), backbone)
        said, how = _posteriors(made, backbone, embedded, brought)
        features = Features(
            target=embedded,
            labels=pool.labels[rows] if labels != 0 else None,
            classes=len(domain.classes),
            posteriors=said,
            source=brought[0] if brought else None,
            absent={} if said is not None else {"posteriors": how},
        )
        notes = {
            "examples": len(rows),
            "of": len(drawn.train if labels != 0 else drawn.unlabelled),
            "dim": embedded.shape[1],
            "fingerprint": backbone.fingerprint(),
            "posteriors": how,
            "labels_are": "total" if features.of_numbers else "class",
        }
        return features, notes

    def _source_domain(
        self, made: Source, config: Config | None, backbone: Backbone
    ) -> tuple[Floats, Targets] | None:
        """Return features and labels of the source domain, or a part of it."""
        if made.domain is None or config is None:
            return None
        domain = OpenDomain(config)
        pool = domain.examples("pool")
        rows = _some(np.arange(len(pool), dtype=np.int64), 0)
        return self._embedded(backbone, domain.key, pool, rows), pool.labels[rows]

    def _embedded(self, backbone: Backbone, key: str, pool: Examples, rows: Ints) -> Floats:
        """Return embeddings (len(rows), d) of these examples, reading those that are new."""
        place = (backbone.fingerprint(), key)
        known = self._seen.setdefault(place, {})
        self._seen.move_to_end(place)
        while len(self._seen) > KEPT_SOURCES:
            self._seen.popitem(last=False)
        new = np.array([row for row in rows if int(row) not in known], dtype=np.int64)
        for begin in range(0, len(new), BATCH):
            batch = new[begin : begin + BATCH]
            embedded = embed(backbone, pool, batch, self.device)
            known.update(zip(batch.tolist(), embedded, strict=True))
        if not len(rows):
            return np.empty((0, backbone.dim))
        return np.stack([known[int(row)] for row in rows])


def embed(backbone: Backbone, pool: Examples, rows: Ints, device: torch.device) -> Floats:
    """Return a frozen backbone's embeddings of these examples, not augmented, (n, d)."""
    seed_torch(0)  # for a backbone that draws even in eval mode
    made = prepared(backbone.preprocess, pool, rows)
    inputs = _on(backbone.preprocess.finish(made, "none", None), device)
    with evaluating(backbone.to(device)), torch.inference_mode():
        found: Floats = backbone.embed(inputs).double().cpu().numpy()
    return found


def _on(inputs: Inputs, device: torch.device) -> Inputs:
    if isinstance(inputs, Mapping):
        return {name: value.to(device) for name, value in inputs.items()}
    return inputs.to(device)


def _some(rows: Ints, seed: int) -> Ints:
    """Return all rows, or a seeded sample of `CAP` in their order."""
    if len(rows) <= CAP:
        return rows
    order = generator(seed, "scores").permutation(len(rows))[:CAP]
    return rows[np.sort(order)]


def _posteriors(
    made: Source, backbone: Backbone, features: Floats, brought: tuple[Floats, Targets] | None
) -> tuple[Floats | None, str]:
    """Return what the source's classifier says, and which classifier, or why there is none."""
    if not made.knows or getattr(made, "shuffle_labels", False):
        return None, posteriors.PLACEBO
    held = posteriors.classifier_in_file(made, backbone)
    if held is not None:
        return posteriors.from_classifier(features, *held), posteriors.IN_THE_FILE
    if brought is None or not len(features) or brought[1].dtype.kind == "f":
        return None, posteriors.NOT_AT_HAND
    return posteriors.from_domain(features, *brought), posteriors.FITTED
