"""The means of users and items: the baseline of all methods that complete a matrix."""

from transfergrid.strategies import Baselines, Data, NotNegative, Range
from transfergrid.strategies.matrices.known_entries import Centre, damped, known
from transfergrid.strategies.matrices.over_entries import FillsMatrix

DAMPING = Range(0.1, 100.0, default=5.0)
"""Search range of the damping of means."""


class RatingMeans(FillsMatrix):
    """An entry is the mean of all, and by how much its item and its user lie above it.

    Means are over training entries alone, first the items', then the users'. With few entries an
    offset is shrunk towards 0. A user or item without training entries adds nothing.

    Formula:
        r(u, i) = m + b_i + b_u, b_i = sum over its users of (r - m) / (n_i + damping), b_u the same
        of what is left over a user's items

    Try it:
        Always, beside any other method that completes a matrix: with few ratings, few are better.

    Cost:
        Two sums.

    Source:
        Koren 2010, Factor in the neighbors, TKDD 4(1), section 2.1

    Args:
        centre: whose means are used, after the overall mean: both, users, items or none.
        damping: number of virtual entries with deviation 0 added to each user and each item.
    """

    baselines = Baselines(labelled=None)
    space = {"damping": DAMPING}
    also_called = ("user_item_means", "baseline_predictor", "bias_baseline")
    badges = ("formula_exact",)

    def __init__(self, centre: Centre = "both", damping: NotNegative = 5.0) -> None:
        super().__init__(centre, damping)

    def solve(self, data: Data) -> None:
        assert data.target is not None
        entries, names = known(data.target)
        sizes = len(names.rows), len(names.columns)
        none = entries.values.new_zeros
        means = damped(entries, sizes, self.centre, self.damping)
        self.keep(names, means, none(sizes[0], 0), none(sizes[1], 0))
