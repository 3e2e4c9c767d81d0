"""Source examples weighted so that their mean in a kernel's feature space is the target's (KMM)."""

from typing import Annotated

import numpy as np
from annotated_types import Interval

from transfergrid.strategies import Count, Positive, Range
from transfergrid.strategies.closed_form.softmax_regression import Floats
from transfergrid.strategies.shallow.box_quadratic import least_in_box
from transfergrid.strategies.shallow.frozen import C
from transfergrid.strategies.shallow.kernels import drawn, gaussian, median_distance
from transfergrid.strategies.shallow.weighting import InstanceWeights


def matching(within: Floats, across: Floats, most: float, slack: float | None = None) -> Floats:
    """Return the weights w that minimise w'Kw / 2 - k'w (Huang et al. 2006, equation 5).

    Each is from 0 to `most`, and their mean is within `slack` of 1.

    Args:
        within: kernel K between source examples, (n, n).
        across: kernel between source and target examples, (n, m); k is n times its mean over the
            target.
        most: B, upper bound of a weight.
        slack: epsilon; None for (sqrt(n) - 1) / sqrt(n).
    """
    n = len(within)
    slack = (np.sqrt(n) - 1) / np.sqrt(n) if slack is None else slack
    sums = n * (1 - slack), n * (1 + slack)
    return least_in_box(within, n * across.mean(axis=1), most, sums)


class KMM(InstanceWeights):
    """Kernel mean matching: source examples count so that both domains have one kernel mean.

    The weights minimise the biased squared MMD between the domains. Where the kernel matrix is
    nearly singular, many weights are equally good, and only the objective is determined. The kernel
    is Gaussian, with `width` times the median distance. Of a source with more than `examples`
    examples this many are drawn by the seed, and the others get weight 0. The record tells the
    effective sample size (sum w)^2 / sum w^2; where it is far below the number of examples, few of
    them decide.

    Formula:
        min_w w'Kw / 2 - k'w, 0 <= w_i <= B, |mean w - 1| <= epsilon; K_ij = k(s_i, s_j), k_i =
        n_s / n_t sum_j k(s_i, t_j); then a head on weighted source examples
    Try it:
        where the target looks like a part of the source; where no source example is like the
        target no weight helps
    Cost:
        some twenty Cholesky factorisations of `examples` rows: a second; nothing at prediction
    Source:
        Huang et al. 2006, Correcting Sample Selection Bias by Unlabeled Data, NIPS, equation 5

    Args:
        width: width of the kernel, as a multiple of the median distance.
        most: B, upper bound of an example's weight.
        slack: epsilon, how far the weights' mean may be from 1; null: (sqrt(n) - 1) / sqrt(n).
        examples: maximum number of examples of the source, and of the target.
        c: C of the head.
    """

    space = {"c": C, "width": Range(0.1, 10.0, default=1.0)}
    also_called = ("kernel_mean_matching",)
    badges = ("formula_exact",)

    def __init__(
        self,
        width: Positive = 1.0,
        most: Annotated[float, Interval(ge=1)] = 1000.0,
        slack: Positive | None = None,
        examples: Count = 1000,
        c: Positive = 1.0,
    ) -> None:
        super().__init__(c)
        self.width, self.most, self.slack, self.examples = width, most, slack, examples

    def weigh(self, source: Floats, target: Floats) -> Floats:
        taken = drawn(len(source), self.examples, self.draws("source"))
        target = target[drawn(len(target), self.examples, self.draws("target"))]
        width = self.width * median_distance(source[taken], target)
        weights = np.zeros(len(source))
        within, across = (gaussian(source[taken], rows, width) for rows in (source[taken], target))
        weights[taken] = matching(within, across, self.most, self.slack)
        return weights
