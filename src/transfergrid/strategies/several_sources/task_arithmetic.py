"""Add the task vectors of several sources to their common start (task arithmetic)."""

from torch import Tensor

from transfergrid.strategies import Dial, Positive, Range, Share
from transfergrid.strategies.several_sources.merging import MergedSources

PATH = tuple(step / 10 for step in range(11))
"""The scales that are tried."""
USUAL = 0.3
"""The scale without a validation part (Ilharco et al. 2023, section 5)."""


def summed(vectors: Tensor, scale: float) -> Tensor:
    """Return scale times the sum (not the mean) of task vectors (sources, weights)."""
    return scale * vectors.sum(0)


class TaskArithmetic(MergedSources):
    """The start plus a part of what each source's training added to it, under a logistic probe.

    A validation part chooses the scale from 0, .1, ..., 1; among equal scores the scale nearest to
    .3 wins, and without a validation part it is .3. The record keeps the path (`chosen.paths`). The
    task vectors are summed: for two sources, scale .5 gives their mean. The sources are trained
    here from one start, and the files of their weights contain its hash. From a random start, which
    training leaves far behind, merging seldom works. All parameters of the backbone are merged, but
    no head, and BatchNorm's statistics are recomputed over the target's training inputs. The order
    of the sources makes no difference.

    Formula:
        w = w_0 + s sum_k (w_k - w_0)

    Try it:
        where several sources were fine-tuned from one pretrained network, and their examples are
        no longer available

    Cost:
        a pass over the training inputs and a probe for each of 11 scales; prediction costs that of
        one network

    Source:
        Ilharco et al. 2023, Editing Models with Task Arithmetic, ICLR, arXiv 2212.04089, section
        2; the authors' code (mlfoundations/task_vectors) leaves integer buffers alone, too

    Args:
        scale: factor on the sum; null lets the validation part choose.
        c: inverse strength of the probe's penalty, as of `logistic_probe`.
    """

    space = {"scale": Range(0.1, 1.0, log=False, default=None)}
    also_called = ("task_vectors", "task_vector_addition")
    badges = ("formula_exact",)

    def __init__(self, scale: Share | None = None, c: Positive = 1.0) -> None:
        super().__init__(c)
        self.scale = scale

    @property
    def dial(self) -> Dial:
        values, usual = (PATH, USUAL) if self.scale is None else ((self.scale,), self.scale)
        return Dial("scale", values, self.put, usual)

    def moved(self, vectors: Tensor, value: float) -> Tensor:
        return summed(vectors, value)
