"""The nearest class mean, on features centred by the mean of the source's classes."""

import torch
from torch import Tensor

from transfergrid.strategies import Baselines, Data, Inputs, Needs, Phase, Sizes, Strategy
from transfergrid.strategies.closed_form.prototypes import brought, nearest_mean


class SimpleShot(Strategy):
    """SimpleShot: features of the frozen source, less their mean on its own examples, of length 1.

    The centre is the mean over the source's labelled examples, never the target's. A class mean is
    not normalised again.

    Formula:
        p(y = k | x) = softmax_k of -|z - c_k|^2, z = (f(x) - m) / |f(x) - m|, m the source's mean

    Try it:
        Before any method that learns over episodes: it is often as good.

    Cost:
        One pass over the source's examples, and one mean for each class.

    Source:
        Wang et al. 2019, SimpleShot (arXiv 1911.04623), section 3, CL2N
    """

    needs = Needs(source="weights", domains=1, steps=False, tasks=("classification",))
    baselines = Baselines(exploratory=["prototypes", "full_finetuning"])
    transfers = "features"
    also_called = ("cl2n",)
    badges = ("formula_exact",)

    centre: Tensor

    def __init__(self) -> None:
        super().__init__()

    def build(self, sizes: Sizes) -> None:
        self.register_buffer("centre", torch.zeros(self.backbone.dim))

    def phases(self) -> list[Phase]:
        return [
            Phase("centre", reads=["source"], before=self.find_centre),
            Phase("solve", before=self.solve),
        ]

    def find_centre(self, data: Data) -> None:
        """Store the mean of the source's features."""
        self.centre.copy_(data.source[0].features().mean(0))

    def solve(self, data: Data) -> None:
        """Set the head to the means of the target's classes."""
        assert data.target is not None
        features = brought(data.target.features(), self.centre, normalised=True)
        self.task.fill(self.head, *nearest_mean(features, data.target.labels, self.task.outputs))

    def predict(self, inputs: Inputs) -> Tensor:
        outputs: Tensor = self.head(brought(self.features(inputs), self.centre, normalised=True))
        return outputs
