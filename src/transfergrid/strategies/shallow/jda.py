"""A projection that brings the domains' means together, overall and class by class (JDA)."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh
from torch import Tensor
from torch.nn.functional import normalize

from transfergrid.strategies import Count, Inputs, Positive, Range, Sizes
from transfergrid.strategies.closed_form.softmax_regression import TINY, Floats
from transfergrid.strategies.shallow.frozen import (
    SHALLOW,
    C,
    Frozen,
    OnFrozenFeatures,
    linear_head,
)

Labels = NDArray[np.int64]

FLAT = 1e-5
"""Directions whose deviations are below this part of the rows' norm are rounding errors.

Features come in single precision."""


def contrasts(labels: Labels, pseudo: Labels | None, many: int) -> Floats:
    """Return the columns e, (n + m, 1 + k), whose products e e' sum to the matrix M.

    A column contrasts a part of the source with a part of the target: its entries are 1 / size for
    the source part, -1 / size for the target part, else 0. The first column is for all examples;
    then comes one for each class that both domains have.

    Args:
        labels: of the source, (n,).
        pseudo: pseudo labels of the target, (m,); None: not known yet.
        many: m.
    """
    parts = [(np.ones(len(labels), dtype=bool), np.ones(many, dtype=bool))]
    if pseudo is not None:
        parts += [(labels == k, pseudo == k) for k in np.intersect1d(labels, pseudo)]
    columns = [np.append(one / one.sum(), other / -other.sum()) for one, other in parts]
    return np.stack(columns, axis=1)


def projection(rows: Floats, apart: Floats, strength: float, most: int) -> tuple[Floats, Floats]:
    """Return W (d, k) and eigenvalues (k,), the smallest first (Long et al. 2013, equation 11).

    W minimises tr W'X'MXW + strength |W|^2 under W'X'HXW = I, with M divided by its Frobenius norm.
    The constraint gives all components the same variance. So directions in which the rows vary by
    less than single precision resolves are removed first: they would be amplified rounding errors.

    Args:
        rows: X, (n + m, d).
        apart: the columns of `contrasts`, (n + m, 1 + k).
        strength: lambda.
        most: k, at most; fewer where the rows vary along fewer directions.
    """
    _, sizes, basis = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    some = sizes > FLAT * np.linalg.norm(rows)
    sizes, basis = sizes[some], basis[some].T
    means = (rows @ basis).T @ apart
    left = means @ means.T / np.linalg.norm(apart.T @ apart) + strength * np.eye(len(sizes))
    few = 0, min(most, len(sizes)) - 1
    values, axes = eigh(left, np.diag(sizes**2), subset_by_index=few)
    return basis @ axes, values


class JDA(OnFrozenFeatures):
    """Joint distribution adaptation: a projection that brings domains and classes together.

    Target classes are the head's predictions, renewed each round; the first round has none, and is
    `tca` in its linear form. Declared, where codes differ: features are divided by their length
    before the projection and not again after it; M is the plain sum of its parts over its Frobenius
    norm, where some codes count the part of all examples once per class; a class that is not
    predicted, or that the source lacks, has no part; the head is linear, where the paper takes the
    nearest neighbour and others an SVM. Target labels are used by the head alone. The paper's 100
    components are of 800 features and more: with as many components as features the projection is a
    change of basis, and only the head's penalty differs. The 30 here are those of `tca`, chosen
    after test scores on digits had been seen, among which they were not the best; a search should
    confirm them. The record tells the eigenvalues, and the share of pseudo labels that the last
    round changed.

    Formula:
        min_W tr W'X'(M / |M|)XW + lambda |W|^2, W'X'HXW = I, M = sum_c e_c e_c'; then a linear head
        on x W
    Try it:
        where the source's head has some accuracy on the target, even a low one: examples with
        wrong pseudo labels are pulled to the wrong class
    Cost:
        `rounds` eigenproblems of d features and heads: seconds to a minute; a prediction costs what
        the source's costs
    Source:
        Long et al. 2013, Transfer Feature Learning with Joint Distribution Adaptation, ICCV,
        equations 5 to 11 and algorithm 1

    Args:
        components: k, at most; should be fewer than there are features.
        strength: lambda.
        rounds: number of rounds; each ends with new pseudo labels of the target.
        c: C of the head.
    """

    needs = SHALLOW.of("classification")
    space = {
        "c": C,
        "components": Range(5, 200, default=30),
        "strength": Range(0.01, 10.0, default=1.0),
    }
    also_called = ("joint_distribution_adaptation",)
    badges = ("formula_exact",)
    finds = ("changed",)

    def __init__(
        self,
        components: Count = 30,
        strength: Positive = 1.0,
        rounds: Count = 10,
        c: Positive = 1.0,
    ) -> None:
        super().__init__(c)
        self.components, self.strength, self.rounds = components, strength, rounds

    def build(self, sizes: Sizes) -> None:
        super().build(sizes)
        nothing = torch.zeros(self.components, dtype=torch.float64)
        self.scaffold.register_buffer("eigenvalues", nothing)

    def tells(self) -> dict[str, Any]:
        values = self.scaffold.get_buffer("eigenvalues")
        return {**super().tells(), "eigenvalues": values[values > 0].tolist()}

    def adapt(self, seen: Frozen) -> None:
        source, target, labelled = map(of_length_one, (seen.source, seen.target, seen.labelled))
        both, pseudo, changed = np.vstack([source, target]), None, 1.0
        for _ in range(self.rounds):
            apart = contrasts(seen.source_labels, pseudo, len(target))
            axes, values = projection(both, apart, self.strength, self.components)
            rows = np.vstack([source, labelled]) @ axes
            weights, biases = linear_head(self.task, rows, seen.pooled_labels, self.c)
            weights = weights @ axes.T
            said = (target @ weights.T + biases).argmax(axis=1)
            changed = 1.0 if pseudo is None else float((said != pseudo).mean())
            pseudo = said
        self.note(changed=changed)
        told = self.scaffold.get_buffer("eigenvalues")
        told[: len(values)] = torch.from_numpy(values.copy())
        self.put(weights, biases)

    def predict(self, inputs: Inputs) -> Tensor:
        outputs: Tensor = self.head(normalize(self.features(inputs), dim=1))
        return outputs


def of_length_one(rows: Floats) -> Floats:
    """Return rows (n, d), each divided by its length."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), TINY))
