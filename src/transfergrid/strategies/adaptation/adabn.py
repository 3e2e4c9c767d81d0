"""Give a source model's BatchNorm layers the target's statistics, and nothing else."""

from transfergrid.strategies import Baselines, Data, Needs, Phase, Sizes, Strategy
from transfergrid.strategies.baselines.source_model import take_head
from transfergrid.strategies.batch_norms import batch_norms
from transfergrid.strategies.weight_space.batch_statistics import retake

SOURCE_FREE = Baselines(
    "source_and_target", "source_model", ["source_only", "source_only_target_statistics"]
)
"""What is compared with the model that it begins with; then with what may see source examples."""


class Adabn(Strategy):
    """Give a source model's BatchNorm layers the target's statistics; no weight moves.

    Statistics are those of all unlabelled inputs, not augmented: a cumulative mean over batches of
    256 in mixed order, by number of examples, of their means and their variances with n - 1. The
    paper counts in how far the means of batches lie apart, with n; of mixed batches both are one
    up to chance. While they are taken each layer normalises by the batch, as in training, so that
    what a layer had before plays no part: taken again they are the same. No source example is
    read. Test inputs are not among them: an example is predicted alike in whatever company.

    Formula:
        y = g (x - mean_t) / std_t + b in each BatchNorm; mean_t, std_t of the target's inputs
    Try it:
        first of all, where target inputs come without labels and the network has BatchNorm: it
        undoes what scales and shifts channels, as brightness does, and costs next to nothing.
        Where classes are not equally frequent in both domains, statistics differ by that, too
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
        """Take the statistics of all target inputs."""
        assert data.unlabelled is not None
        retake(batch_norms(self.backbone, "adabn"), [data.unlabelled], self.backbone.embed)
