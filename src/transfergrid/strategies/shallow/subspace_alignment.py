"""Alignment of the source's principal axes with the target's."""

from typing import Any

import numpy as np
import torch

from transfergrid.strategies import Count, Positive, Range, Sizes
from transfergrid.strategies.closed_form.softmax_regression import Floats
from transfergrid.strategies.shallow.frozen import C, Frozen, OnFrozenFeatures, linear_head


def principal_axes(rows: Floats, most: int) -> Floats:
    """Return the orthonormal axes of largest variance of rows (n, d): (d, k).

    Args:
        rows: n from 2.
        most: k, at most; fewer where the rows vary along fewer axes.
    """
    _, sizes, axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    rank = int((sizes > sizes.max(initial=0) * max(rows.shape) * np.finfo(np.float64).eps).sum())
    return np.asarray(axes[: min(most, rank)].T)


class SubspaceAlignment(OnFrozenFeatures):
    """Subspace alignment: the source's principal axes are turned to the target's.

    Each domain is centred by itself. Features are not scaled, because the head scales its inputs.
    With fewer examples than `components` there are fewer axes. The head is linear, where the paper
    takes the nearest neighbour. The record tells the singular values of P_s'P_t, which are the
    cosines of the angles between the subspaces; near 0 the subspaces share nothing.

    Formula:
        x_s <- (x_s - m_s) P_s P_s' P_t, x_t <- (x_t - m_t) P_t; then a linear head
    Try it:
        where the domains vary along axes that are near each other, and differ along others
    Cost:
        two singular value decompositions: seconds; a prediction costs what the source's costs
    Source:
        Fernando et al. 2013, Unsupervised Visual Domain Adaptation Using Subspace Alignment, ICCV,
        equation 2 and algorithm 1

    Args:
        components: maximum number of principal axes of each domain.
        c: C of the head.
    """

    space = {"c": C, "components": Range(5, 100, default=30)}
    also_called = ("sa", "subspace")
    badges = ("formula_exact",)

    def __init__(self, components: Count = 30, c: Positive = 1.0) -> None:
        super().__init__(c)
        self.components = components

    def build(self, sizes: Sizes) -> None:
        super().build(sizes)
        nothing = torch.full((self.components,), -1.0, dtype=torch.float64)
        self.scaffold.register_buffer("cosines", nothing)

    def tells(self) -> dict[str, Any]:
        cosines = self.scaffold.get_buffer("cosines")
        return {"cosines": cosines[cosines >= 0].tolist()}

    def adapt(self, seen: Frozen) -> None:
        ours, theirs = (
            principal_axes(rows, self.components) for rows in (seen.source, seen.target)
        )
        turn = ours.T @ theirs
        cosines = np.linalg.svd(turn, compute_uv=False)
        self.scaffold.get_buffer("cosines")[: len(cosines)] = torch.from_numpy(cosines)
        middle = seen.target.mean(axis=0)
        aligned = (seen.source - seen.source.mean(axis=0)) @ ours @ turn
        rows = np.vstack([aligned, (seen.labelled - middle) @ theirs])
        weights, biases = linear_head(self.task, rows, seen.pooled_labels, self.c)
        self.put(weights @ theirs.T, biases - weights @ theirs.T @ middle)
