"""What a shallow cell was given: features by its frozen network, in another way than its own."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass
class Given:
    """Features in float64, and labels."""

    source: np.ndarray
    source_labels: np.ndarray
    target: np.ndarray
    labelled: np.ndarray
    labels: np.ndarray
    test: np.ndarray

    @property
    def pooled(self):
        return np.vstack([self.source, self.labelled])

    @property
    def pooled_labels(self):
        return np.concatenate([self.source_labels, self.labels])


def given(run):
    """Return the features of each stream of a run, and of its test examples."""
    setup, backbone = run.setup, run.setup.backbone.eval()
    data, test = setup.data, setup.target.whole("test", setup.preprocess)
    (source,) = data.source

    def embedded(view):
        with torch.no_grad():
            return backbone(view.inputs(view.rows)).double().numpy()

    own, empty = data.train, np.empty((0, backbone.dim))
    return Given(
        embedded(source),
        source.labels,
        empty if data.unlabelled is None else embedded(data.unlabelled),
        empty if own is None else embedded(own),
        source.labels[:0] if own is None else own.labels,
        embedded(test),
    )


def spread(features):
    """Return the root of the mean squared distance from the mean, from its definition."""
    return np.sqrt(((features - features.mean(0)) ** 2).sum(1).mean())
