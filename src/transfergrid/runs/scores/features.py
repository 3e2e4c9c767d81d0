"""One pass of a frozen source over the examples that a seed block may learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from transfergrid.data.opened import OpenDomain
from transfergrid.data.torch_seed import seed_torch
from transfergrid.records.cell import Labels
from transfergrid.records.factory import Config, build
from transfergrid.records.needs import Needs
from transfergrid.records.printing import say
from transfergrid.records.seeds import generator
from transfergrid.records.tracking.tracker import NoTracker, RunCard
from transfergrid.records.training import Training
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.machine import Machine
from transfergrid.runs.predictions import said
from transfergrid.runs.pretraining import SourceMaker
from transfergrid.runs.scores import posteriors
from transfergrid.runs.scores.base import Features, Floats, Ints, Targets
from transfergrid.runs.standing import standing
from transfergrid.runs.starting import start
from transfergrid.sources.backbone import Backbone
from transfergrid.sources.source import Source
from transfergrid.strategies.base import Strategy

CAP = 2000
"""Most examples of the target, and of the source domain, that are embedded."""


class TellsOfTraining(NoTracker):
    """A tracker that only prints that a source must be trained first."""

    def start(self, card: RunCard) -> None:
        """Print one line."""
        say(f"training a source first, once: {card.name}", flush=True)


class FeaturePasses:
    """Embeds examples with frozen sources; embeddings that a cell has cached are not recomputed.

    Args:
        results: the ledger's folder, with sources trained here and the cache.
        machine: where to run.
    """

    def __init__(self, results: Path, machine: Machine) -> None:
        self.machine = machine.kept_in(results)
        self.maker = SourceMaker(results / "sources", machine, TellsOfTraining(), Stopwatch())

    def of(
        self, source: Config, target: Config, labels: Labels, seed: int
    ) -> tuple[Features, dict[str, Any]]:
        """Return the features of a seed block's training examples, and notes on them.

        The labels are those that a cell of this seed block draws, without its validation part; with
        no labels, examples come from the whole pool. The test split is never read.

        Raises:
            BadInputError: source or target is not available.
        """
        domain, made = OpenDomain(target), build(source)
        backbone = start(source, Needs(), self.maker, seed).backbone
        drawn = domain.draw(labels, seed)
        rows = _some(drawn.train if labels != 0 else drawn.unlabelled, seed)
        pool = domain.examples("pool")
        embedded = self._embedded(backbone, domain, rows)
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
        """Return features and labels of up to `CAP` source examples; None without such labels."""
        if made.domain is None or config is None or not made.labelled:
            return None
        domain = OpenDomain(config)
        pool = domain.examples("pool")
        rows = _some(np.arange(len(pool), dtype=np.int64), 0)
        return self._embedded(backbone, domain, rows), pool.labels[rows]

    def _embedded(self, backbone: Backbone, domain: OpenDomain, rows: Ints) -> Floats:
        """Return embeddings (len(rows), d) of these examples of the pool, not augmented."""
        if not len(rows):
            return np.empty((0, backbone.dim))
        carrier = Strategy()
        carrier.attach(backbone, domain.task, Training(), 0)
        view = domain.view("pool", backbone.preprocess, rows)
        view.prepared = view.prepared.unkept()
        seed_torch(0)  # for a backbone that draws random numbers even in eval mode
        found = standing(carrier, (), self.machine, [view])
        features = said(carrier, carrier.features, view, self.machine, standing=found)
        return np.asarray(features.double().cpu().numpy())


def _some(rows: Ints, seed: int) -> Ints:
    """Return all rows, or a seeded sample of `CAP` in their order."""
    if len(rows) <= CAP:
        return rows
    order = generator(seed, "scores").permutation(len(rows))[:CAP]
    return rows[np.sort(order)]


def _posteriors(
    made: Source, backbone: Backbone, features: Floats, brought: tuple[Floats, Targets] | None
) -> tuple[Floats | None, str]:
    """Return the source classifier's probabilities and its description, or None and why not."""
    if not made.knows or getattr(made, "shuffle_labels", False):
        return None, posteriors.PLACEBO
    held = posteriors.classifier_in_file(made, backbone)
    if held is not None:
        return posteriors.from_classifier(features, *held), posteriors.IN_THE_FILE
    if brought is None or not len(features) or brought[1].dtype.kind == "f":
        return None, posteriors.NOT_AT_HAND
    return posteriors.from_domain(features, *brought), posteriors.FITTED
