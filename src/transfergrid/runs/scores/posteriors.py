"""Class probabilities of a source's own classifier for target examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from transfergrid.runs.scores.base import Floats, Ints

if TYPE_CHECKING:
    from transfergrid.sources.backbone import Backbone
    from transfergrid.sources.source import Source

IN_THE_FILE = "the classifier in its weight file"
FITTED = "a logistic regression of the source domain's classes on its frozen features"
PLACEBO = "a placebo has no classes of its own"
NOT_AT_HAND = "its weights come without a linear classifier, and no source domain is at hand"


def from_classifier(features: Floats, weight: Floats, bias: Floats) -> Floats:
    """Return softmax(F W^T + b), (n, Cs).

    Args:
        features: F, (n, d).
        weight: W, (Cs, d).
        bias: b, (Cs,).
    """
    logits = features @ weight.T + bias
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = raised / raised.sum(axis=1, keepdims=True)
    return shares


def from_domain(features: Floats, source: Floats, labels: Ints) -> Floats:
    """Return the probabilities of a logistic regression, fitted on source examples, on the target.

    It stands in for the source's own classifier if that is not kept: same classes, same frozen
    features, a linear model.

    Args:
        features: target features, (n, d).
        source: source features, (m, d).
        labels: source classes, (m,).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    learner = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    found: Floats = learner.fit(source, labels).predict_proba(features)
    return found


def classifier_in_file(source: Source, backbone: Backbone) -> tuple[Floats, Floats] | None:
    """Return weight and bias of the linear classifier in a weight file; None if it has none."""
    from transfergrid.sources.files import heads

    held = (
        heads.linear(backbone.head_weights, backbone.dim) if getattr(source, "file", None) else None
    )
    if held is None:
        return None
    bias = np.zeros(held.out_features) if held.bias is None else held.bias.detach().double().numpy()
    return held.weight.detach().double().numpy(), bias
