"""Give a source model's BatchNorm layers the target's statistics, and nothing else."""

from transfergrid.strategies import Baselines, Data, Needs, Phase, Sizes, Strategy
from transfergrid.strategies.baselines.source_model import take_head
from transfergrid.strategies.batch_norms import batch_norms
from transfergrid.strategies.weight_space.batch_statistics import retake

SOURCE_FREE = Baselines(
    "source_and_target", "source_model", ["source_only", "source_only_target_statistics"]
)
"""Compared first with the source model itself, then with baselines that see source examples."""


class Adabn(Strategy):
    """Give a source model's BatchNorm layers the target's statistics; no weight moves.

    The statistics are those of all unlabelled inputs, not augmented: the mean over shuffled batches
    of 256, weighted by batch size, of batch means and of batch variances (with n - 1). The paper
    adds the variance between batch means, and divides by n; for shuffled batches both agree up to
    chance. During this pass each layer normalises by the batch, as in training. So the statistics
    that a layer had before play no part, and a second pass gives the same result. No source example
    is read, and no test input: an example's prediction does not depend on the others in its batch.

    Formula:
        y = g (x - mean_t) / std_t + b in each BatchNorm; mean_t, std_t of the target's inputs
    Try it:
        first of all, where target inputs come without labels and the network has BatchNorm: it
        undoes shifts that scale or offset channels, such as brightness, and costs next to nothing.
        Where class frequencies differ between the domains, so do the statistics
    Cost:
        one pass over all unlabelled inputs; no step; nothing at prediction
    Source:
        Li et al. 2017, Revisiting batch normalization for practical domain adaptation (AdaBN),
        arXiv 1603.04779, algorithm 1 and section 3.3

    Raises:
        ImpossibleError: the network has no BatchNorm.
    """

    needs = Needs(
        "head",
        "unused",
        classes="same",
        unlabelled=True,
        steps=False,
        tasks=("classification",),
        layers="batch_norm",
    )
    baselines = SOURCE_FREE
    setting = "transductive"
    moves_statistics = True
    also_called = ("adaptive_batch_normalization", "batch_norm_adaptation", "bn_adapt")
    badges = ("formula_exact",)

    def __init__(self) -> None:
        super().__init__()

    def build(self, sizes: Sizes) -> None:
        batch_norms(self.backbone, "adabn")
        take_head(self)

    def phases(self) -> list[Phase]:
        return [Phase("take", before=self.take, reads=["unlabelled"])]

    def take(self, data: Data) -> None:
        """Set BatchNorm's statistics to those of all unlabelled target inputs."""
        assert data.unlabelled is not None
        retake(batch_norms(self.backbone, "adabn"), [data.unlabelled], self.backbone.embed)
