"""Kernel components with large variance and nearly equal means in both domains (TCA)."""

from typing import Any

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor

from transfergrid.strategies import Count, Inputs, Positive, Range, Sizes
from transfergrid.strategies.closed_form.softmax_regression import Floats
from transfergrid.strategies.shallow.frozen import C, Frozen, OnFrozenFeatures, linear_head
from transfergrid.strategies.shallow.kernels import drawn, gaussian, median_distance


def transfer_components(kernel: Floats, source: int, mu: float, most: int) -> tuple[Floats, Floats]:
    """Return W (n + m, k) and eigenvalues (k,), the largest first (Pan et al. 2009).

    W maximises tr W'KHKW under W'(I + mu KLK)W = I, a generalised symmetric eigenproblem. The
    components of an example x are k(x, .) W; those of the examples in the kernel are KW.

    Args:
        kernel: K, of n source examples and then m target examples, (n + m, n + m).
        source: n.
        mu: weight of the distance between the domains' means.
        most: k, at most.
    """
    total = len(kernel)
    apart = np.repeat([1 / source, -1 / (total - source)], [source, total - source])
    means = kernel @ apart
    middle = kernel - kernel.mean(axis=0)
    few = total - min(most, total), total - 1
    values, axes = eigh(
        middle.T @ middle, np.eye(total) + mu * np.outer(means, means), subset_by_index=few
    )
    return axes[:, ::-1], values[::-1]


class TCA(OnFrozenFeatures):
    """Transfer component analysis: a head on components that both domains share.

    This follows the paper of 2009, whose mu weighs the distance between the domains' means. The
    paper of 2011 puts its mu on the identity instead; its value one over this mu gives the same
    components. The kernel is Gaussian, with `width` times the median distance. A new input's
    components need its kernel with the examples that defined them. So the features of these
    examples are saved with the model, and anyone who has the model has them. They are at most
    `examples` of each domain, drawn by the seed; the head is fitted to all examples with labels.
    The record tells the eigenvalues, which say how much the components vary.

    Formula:
        max_W tr W'KHKW, W'(I + mu KLK)W = I, L = ee', e of 1 / n_s and -1 / n_t; x <- k(x, .) W;
        then a linear head
    Try it:
        where the domains' means differ along few directions; prefer it to `linear_coral` with many
        features and few examples
    Cost:
        one generalised eigenproblem of size twice `examples`: seconds to a minute, memory of its
        square; a prediction evaluates that many kernels more
    Source:
        Pan, Tsang, Kwok & Yang 2009, Domain Adaptation via Transfer Component Analysis, IJCAI,
        equation 8; 2011, IEEE Trans. Neural Networks 22

    Args:
        components: k, at most.
        mu: weight of the distance between the domains' means.
        width: width of the kernel, as a multiple of the median distance.
        examples: maximum number of examples of each domain in the kernel.
        c: C of the head.
    """

    space = {
        "c": C,
        "components": Range(5, 50, default=30),
        "mu": Range(0.1, 10.0, default=1.0),
        "width": Range(0.1, 10.0, default=1.0),
    }
    also_called = ("transfer_component_analysis",)
    badges = ("formula_exact",)

    bank: Tensor
    axes: Tensor
    reach: Tensor

    def __init__(
        self,
        components: Count = 30,
        mu: Positive = 1.0,
        width: Positive = 1.0,
        examples: Count = 1000,
        c: Positive = 1.0,
    ) -> None:
        super().__init__(c)
        self.components, self.mu, self.width, self.examples = components, mu, width, examples

    def build(self, sizes: Sizes) -> None:
        super().build(sizes)
        many = sum(min(size, self.examples) for size in (*sizes.source, sizes.unlabelled))
        self.head = self.task.head(self.components)
        self.register_buffer("bank", torch.zeros(many, self.backbone.dim))
        self.register_buffer("axes", torch.zeros(many, self.components))
        self.register_buffer("reach", torch.ones(()))
        nothing = torch.zeros(self.components, dtype=torch.float64)
        self.scaffold.register_buffer("eigenvalues", nothing)

    def tells(self) -> dict[str, Any]:
        return {"eigenvalues": self.scaffold.get_buffer("eigenvalues").tolist()}

    def adapt(self, seen: Frozen) -> None:
        source = seen.source[drawn(len(seen.source), self.examples, self.draws("source"))]
        target = seen.target[drawn(len(seen.target), self.examples, self.draws("target"))]
        bank, width = np.vstack([source, target]), self.width * median_distance(source, target)
        kernel = gaussian(bank, bank, width)
        found, values = transfer_components(kernel, len(source), self.mu, self.components)
        axes = np.pad(found, ((0, 0), (0, self.components - found.shape[1])))
        rows = gaussian(seen.pooled(), bank, width) @ axes
        self.put(*linear_head(self.task, rows, seen.pooled_labels, self.c))
        self.bank.copy_(torch.from_numpy(bank))
        self.axes.copy_(torch.from_numpy(axes))
        self.reach.fill_(width)
        told = self.scaffold.get_buffer("eigenvalues")
        told[: len(values)] = torch.from_numpy(values.copy())

    def predict(self, inputs: Inputs) -> Tensor:
        exact = "donot_use_mm_for_euclid_dist"
        squares = torch.cdist(self.features(inputs), self.bank, compute_mode=exact).square()
        outputs: Tensor = self.head((-squares / (2 * self.reach**2)).exp() @ self.axes)
        return outputs
