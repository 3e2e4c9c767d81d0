"""The class with the nearest mean text."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from transfergrid.records.errors import ImpossibleError
from transfergrid.strategies import (
    Baselines,
    Data,
    Inputs,
    Needs,
    Phase,
    Positive,
    Sizes,
    Strategy,
)


def text_means(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return the mean of each class's texts, (classes, dim), of length 1.

    Each text is scaled to length 1 before.

    Args:
        features: features of the texts, (n, dim).
        labels: their classes, (n,) int64; each class has a text.
        classes: number of classes.
    """
    known = torch.nn.functional.one_hot(labels, classes).to(features)
    return normalize(known.T @ normalize(features, dim=1), dim=1)


class TextPrototypes(Strategy):
    """Nearest mean text: a class is where its name or its descriptions are embedded.

    Each text of a class is scaled to length 1, then their mean. Texts and inputs must be embedded
    in one space: texts by a text encoder, or images by a model of images and texts. A class's texts
    are `target.descriptions`, or its name made readable if it has none. These texts are information
    that a placebo of the source does not have.

    Formula:
        p(y = k | x) = softmax_k of cos(f(x), t_k) / temperature, t_k the mean text of class k

    Try it:
        Where classes have meaningful names and there are no labels yet.

    Cost:
        One pass over the texts of the classes.

    Source:
        Radford et al. 2021, CLIP (arXiv 2103.00020), section 3.1, and its released code: normalise,
        mean over texts, normalise; scale 100

    Args:
        temperature: changes only the confidence of predictions, not the predicted class.
    """

    needs = Needs(
        "weights", "unused", classes="named", steps=False, tasks=("classification",), layers="some"
    )
    baselines = Baselines(None, "majority", exploratory=["prototypes@1", "prototypes@5"])
    transfers = "relations"
    also_called = ("clip_zero_shot", "zero_shot_by_names")
    badges = ("formula_exact",)

    prototypes: Tensor

    def __init__(self, temperature: Positive = 0.01) -> None:
        super().__init__()
        self.temperature = temperature

    def build(self, sizes: Sizes) -> None:
        if self.backbone.words() is None:
            raise ImpossibleError(
                f"text_prototypes tells classes by texts, and {self.backbone.title} embeds none"
            )
        self.head = torch.nn.Identity()
        width = self.backbone.dim
        self.register_buffer("prototypes", torch.zeros(self.task.outputs, width))

    def phases(self) -> list[Phase]:
        return [Phase("solve", reads=["named"], before=self.solve)]

    def solve(self, data: Data) -> None:
        """Embed the texts of the classes."""
        assert data.named is not None
        texts = data.named
        self.prototypes.copy_(text_means(texts.features(), texts.labels, self.task.outputs))

    def predict(self, inputs: Inputs) -> Tensor:
        cosines = normalize(self.features(inputs), dim=1) @ self.prototypes.T
        return cosines / self.temperature
