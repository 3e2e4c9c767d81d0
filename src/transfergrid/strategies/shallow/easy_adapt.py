"""A linear head with shared weights and a correction per domain, by feature augmentation."""

import numpy as np

from transfergrid.strategies import Baselines, Needs
from transfergrid.strategies.closed_form.softmax_regression import Floats
from transfergrid.strategies.shallow.frozen import C, Frozen, OnFrozenFeatures, linear_head


def augmented(source: Floats, target: Floats) -> Floats:
    """Return rows (x, x, 0) for the source (n, d) and (x, 0, x) for the target (k, d).

    The result is (n + k, 3 d): shared features, the source's own, the target's own.
    """
    nothing = np.zeros_like
    return np.vstack(
        [
            np.hstack([source, source, nothing(source)]),
            np.hstack([target, nothing(target), target]),
        ]
    )


class EasyAdapt(OnFrozenFeatures):
    """Feature augmentation: each feature three times, shared, the source's and the target's.

    One linear head on the augmented features learns from both domains' labels. A target example is
    predicted by the sum of the shared and the target's own weights, which is again a linear head.
    All weights are penalised equally; the bias is shared and not penalised. The augmented features
    are divided by one number, the root of their mean squared distance from their mean. Without
    target labels the target's own weights would have nothing to learn from.

    Formula:
        phi_s(x) = (x, x, 0), phi_t(x) = (x, 0, x); c sum CE(softmax(W phi + b), y) + |W|^2 / 2; of
        numbers half the squared error, which is ridge
    Try it:
        with some target labels, where the source's labels mean nearly the same: it needs no
        unlabelled inputs, and `source_probe` is the baseline it must beat
    Cost:
        a convex problem of three times the features: seconds; a prediction costs what the source's
        costs
    Source:
        Daume III 2007, Frustratingly Easy Domain Adaptation, ACL, arXiv 0907.1815, equation 2

    Args:
        c: inverse strength of the penalty.
    """

    needs = Needs("weights", "required", 1, "same", steps=False)
    baselines = Baselines("source_and_target", None, ["source_probe", "logistic_probe"])
    space = {"c": C}
    setting = "inductive"
    also_called = ("daume", "feature_augmentation", "frustratingly_easy")
    badges = ("formula_exact",)

    def adapt(self, seen: Frozen) -> None:
        rows = augmented(seen.source, seen.labelled)
        weights, biases = linear_head(self.task, rows, seen.pooled_labels, self.c)
        shared, _, own = np.split(weights, 3, axis=1)
        self.put(shared + own, biases)
