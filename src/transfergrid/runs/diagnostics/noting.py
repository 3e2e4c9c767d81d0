"""Turns two looks at a backbone into the record's diagnostics. Nothing here runs a backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfergrid.records.findings import (
    BatchNorm,
    Domains,
    Drift,
    Features,
    Forgetting,
    Head,
    Optimisation,
    Priors,
    Probe,
)
from transfergrid.runs.curve import Fit
from transfergrid.runs.diagnostics import closed_forms
from transfergrid.runs.diagnostics.reading import Pooled, Seen, brief, spread
from transfergrid.runs.stages import Outcome, Setup
from transfergrid.sources.backbone import Backbone

Labels = NDArray[np.int64]
JUDGES = 20
"""Fewest validation examples to judge the head on; with fewer, one counts over five points."""


class Nothing(Exception):  # noqa: N818
    """There is nothing to note for this part; the message says why."""


NUMBERS = "the labels are numbers, and this is told of classes"
"""Why there is nothing to note for some parts."""


def of_classes(labels: Labels) -> Labels:
    """Return labels if they are classes; raise `Nothing` for numbers."""
    if labels.dtype.kind == "f":
        raise Nothing(NUMBERS)
    return labels


@dataclass
class Looks:
    """What was seen of each part (train, validation, target, source) before and after training.

    Attributes:
        most: most examples of each part.
        labels: labels of the examples of labelled parts, (n,) each.
        before: by part, with the backbone as the strategy got it; without the validation part.
        after: by part, with the backbone as it was tested.
        random: embeddings of the training examples with random weights.
        renormalised: embeddings of them before training, with BatchNorm by batch statistics.
        start: copies of all that could change: the backbone's tensors by name, the head's by
            "head " and name.
        left_out: why nothing was passed through the trained network; empty if something was.
    """

    most: int
    labels: dict[str, Labels] = field(default_factory=dict)
    before: dict[str, Seen] = field(default_factory=dict)
    after: dict[str, Seen] = field(default_factory=dict)
    random: Pooled | None = None
    renormalised: Pooled | None = None
    start: dict[str, Tensor] = field(default_factory=dict)
    left_out: str = ""


def optimisation(setup: Setup, looks: Looks, fitted: Fit) -> Optimisation:
    """Note the first and last loss, and how far the head moved."""
    if not fitted.steps:
        raise Nothing("no steps")
    losses = fitted.curves.get("train_loss", np.empty(0))
    head = getattr(setup.strategy, "head", None)
    state = head.state_dict() if isinstance(head, torch.nn.Module) else {}
    pairs = [(looks.start[f"head {k}"], v) for k, v in state.items() if f"head {k}" in looks.start]
    return Optimisation(
        first_loss=brief(losses[0]) if len(losses) else None,
        last_loss=brief(losses[-1]) if len(losses) else None,
        head_change=relative_change(pairs),
    )


def features(looks: Looks) -> Features:
    """Probe the embeddings of the training examples: with random weights, before, and after."""
    if "train" not in looks.after:
        raise Nothing("no target labels")
    labels, own = of_classes(looks.labels["train"]), looks.renormalised
    return Features(
        random=None if looks.random is None else probe(looks.random, labels),
        before=probe(looks.before["train"].embeddings, labels),
        renormalised=None if own is None else probe(own, labels),
        after=probe(looks.after["train"].embeddings, labels),
    )


def probe(embeddings: Pooled, labels: Labels) -> Probe:
    """Return the leave-one-out accuracy of both probes (k-NN and linear) on embeddings."""
    counts = np.bincount(labels)
    if counts.max() < 2 or len(labels) < 4:
        raise Nothing("one label a class: nothing to leave out")
    return Probe(
        n=len(labels),
        chance=brief(counts.max() / len(labels)),
        knn=brief(closed_forms.knn_accuracy(embeddings, labels, len(counts))),
        linear=brief(closed_forms.linear_accuracy(embeddings, labels, len(counts))),
    )


def head(setup: Setup, looks: Looks, outcome: Outcome) -> Head:
    """Return the accuracy of the trained head and of a refitted one on the same examples.

    On training examples the trained head has an advantage: the refitted one leaves each out.
    """
    if "train" not in looks.after or outcome.train is None:
        raise Nothing("no target labels")
    labels, rows = of_classes(looks.labels["train"]), looks.after["train"].embeddings
    fitted = closed_forms.ridge(rows, closed_forms.one_hot(labels, len(setup.target.classes)))
    part, judged, said = "train", outcome.train[0], fitted.left_out
    if outcome.validation is not None and len(outcome.validation[1]) >= JUDGES:
        part, judged = "validation", outcome.validation[0]
        said = fitted.predict(looks.after["validation"].embeddings)
    truth = looks.labels[part]
    trained = judged[torch.from_numpy(spread(len(judged), looks.most))].argmax(dim=1).numpy()
    return Head(
        on=part,  # type: ignore[arg-type]
        n=len(truth),
        trained=brief(float((trained == truth).mean())),
        refitted=brief(float((said.argmax(axis=1) == truth).mean())),
    )


def batch_norm(looks: Looks) -> BatchNorm:
    """Note how BatchNorm's statistics fit the target, and the source domain if there is one."""
    if looks.after["target"].statistics is None:
        raise Nothing(looks.left_out or "no BatchNorm")
    source = looks.before.get("source")
    return BatchNorm(
        n=looks.after["target"].watched,
        before=looks.before["target"].statistics,
        after=looks.after["target"].statistics,
        source=source.statistics if source else None,
    )


def drift(backbone: Backbone, looks: Looks) -> Drift:
    """Note how far each coarse block moved: its weights, and its outputs on target examples."""
    blocks, current = backbone.blocks("coarse"), dict(backbone.named_parameters())
    old, new = looks.before["target"], looks.after["target"]
    return Drift(
        n=len(old.embeddings),
        blocks=tuple(block.name for block in blocks),
        weights=tuple(
            relative_change(
                [(looks.start[n], current[n]) for n in block.parameters if n in looks.start]
            )
            if block.parameters
            else None
            for block in blocks
        ),
        cka=tuple(_similar(a, b) for a, b in zip(old.blocks, new.blocks, strict=True))
        or (None,) * len(blocks),
        embedding_cka=_similar(old.embeddings, new.embeddings),
    )


def priors(setup: Setup, predict: Callable[[], NDArray[np.int64] | None]) -> Priors:
    """Note the shares of classes: in the given labels, in predictions, and in the source.

    `predict` returns how many examples are predicted as each class; None if that is not asked for.
    """
    data, classes = setup.data, len(setup.target.classes)
    if not classes:
        raise Nothing(NUMBERS)
    own = np.array([setup.drawn.per_class[str(c)] for c in range(len(setup.target.loaded.classes))])
    places = setup.target.counted(np.arange(len(own)))
    given = np.bincount(places, weights=own, minlength=classes)
    source = None
    if data.source and data.source_tasks[0] == data.task:
        source = _shares(np.bincount(data.source[0].labels, minlength=classes))
    return Priors(
        given=_shares(given) if data.train is not None else None,
        predicted=None if (predicted := predict()) is None else _shares(predicted),
        source=source,
    )


def domains(setup: Setup, looks: Looks) -> Domains:
    """Note how far apart source domain and target are, before and after training."""
    if "source" not in looks.after:
        raise Nothing(looks.left_out or "no source domain, or a frozen backbone")
    return Domains(
        n=min(len(looks.before[part].embeddings) for part in ("source", "target")),
        before=_distance(looks.before),
        after=_distance(looks.after),
        match_before=_match(setup, looks, looks.before),
        match_after=_match(setup, looks, looks.after),
    )


def _distance(seen: dict[str, Seen]) -> float:
    source, target = seen["source"].embeddings, seen["target"].embeddings
    n = min(len(source), len(target))
    pair = (side[spread(len(side), n)] for side in (source, target))
    return brief(closed_forms.proxy_a_distance(*pair))


def _match(setup: Setup, looks: Looks, seen: dict[str, Seen]) -> float | None:
    data = setup.data
    if (
        not setup.target.classes
        or "train" not in seen
        or not data.source
        or data.source_tasks[0] != data.task
    ):
        return None
    source, train = seen["source"].embeddings, seen["train"].embeddings
    return brief(
        closed_forms.matching(source, looks.labels["source"], train, looks.labels["train"])
    )


def forgetting(looks: Looks) -> Forgetting:
    """Note how well embeddings solve the source's own task, before and after training."""
    if "source" not in looks.after:
        raise Nothing(looks.left_out or "no source domain, or a frozen backbone")
    labels = of_classes(looks.labels["source"])
    before, after = (probe(s["source"].embeddings, labels) for s in (looks.before, looks.after))
    return Forgetting(before=before, after=after)


def relative_change(pairs: list[tuple[Tensor, Tensor]]) -> float:
    """Return the L2 norm of all changes over the L2 norm of the old values; 0 without any.

    Args:
        pairs: (old, new) tensors; only floating-point ones count.
    """
    moved, was = 0.0, 0.0
    for old, new in pairs:
        if old.is_floating_point():
            moved += float((new.detach().cpu() - old).float().square().sum())
            was += float(old.float().square().sum())
    return brief((moved / was) ** 0.5) if was > 0 else 0.0


def _similar(old: Pooled | None, new: Pooled | None) -> float | None:
    if old is None or new is None or old.shape != new.shape:
        return None
    value = closed_forms.cka(old, new)
    return None if value is None else brief(value)


def _shares(counts: NDArray[Any]) -> tuple[float, ...] | None:
    total = counts.sum()
    return tuple(brief(float(count / total)) for count in counts) if total else None
