"""Fine-tune the source's own head too, on the source classes that a target class resembles."""

from typing import Any

import torch
from torch import Tensor, nn

from transfergrid.strategies import (
    Baselines,
    Batch,
    Data,
    Group,
    ImpossibleError,
    Needs,
    NotNegative,
    Objective,
    Phase,
    Range,
    Sizes,
    Strategy,
    rates,
)


def direct_relationship(probabilities: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return p(source class | target class), a mean over each target class's examples.

    The result is (classes, source classes).

    The row of a class without examples is 0.

    Args:
        probabilities: of the source's classes, (n, source classes).
        labels: target classes, (n,).
        classes: number of target classes.
    """
    of_class = nn.functional.one_hot(labels, classes).to(probabilities.dtype)
    return of_class.T @ probabilities / of_class.sum(0).clamp(min=1.0).unsqueeze(1)


def check_classes(head: nn.Module, method: str) -> None:
    """Raise if a source's head does not classify.

    Raises:
        ImpossibleError: the head has a single output.
    """
    outputs = next(head.parameters()).shape[0]
    if outputs < 2:
        raise ImpossibleError(
            f"{method} needs a source that was trained to tell classes apart, and the source's own "
            "head has one output: take a source of classes"
        )


class CoTuning(Strategy):
    """The source's head goes on learning: what its classes say of a target class, it should say.

    Which source classes each target class resembles is estimated once, before the first step, on
    the labelled training part alone, in eval mode and without augmentation: the paper's direct
    relationship. The source's logits are used as they are, not calibrated. The source's head learns
    at the backbone's rate and plays no part in predictions.

    Formula:
        CE(target head, y_t) - lambda * sum over y_s of p(y_s | y_t) log softmax(source head)_y_s
    Try it:
        with few labels, from sources with many classes that the target's classes resemble; if a
        source's classes are few or unrelated, the relationship says little
    Cost:
        full fine-tuning, one pass over the training part and a second head; nothing more at
        prediction
    Source:
        You, Kou, Long & Wang 2020, Co-tuning for transfer learning, NeurIPS, section 3.2; lambda as
        in the authors' code

    Args:
        weight: lambda, the weight of the loss on source classes; 0 is full fine-tuning.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    also_called = ("cotuning",)
    badges = ("formula_exact", "trajectory_exact")
    needs = Needs("head", tasks=("classification",))
    baselines = Baselines(exploratory=["full_finetuning"])
    space = {
        "lr_factor": rates(3.0, brief=0.95, small_images=3.0, images=1.0, text=0.1),
        "weight": Range(0.1, 10.0, default=2.3),
    }
    transfers = "relations"

    def __init__(self, weight: NotNegative = 2.3, **shared: Any) -> None:
        super().__init__(**shared)
        self.weight = weight

    def build(self, sizes: Sizes) -> None:
        check_classes(self.source_head, "co_tuning")
        theirs = next(self.source_head.parameters()).shape[0]
        self.scaffold.register_buffer("relationship", torch.zeros(self.task.outputs, theirs))

    def phases(self) -> list[Phase]:
        source = Group("source head", self.source_head.parameters())
        tune = Objective(self.loss, [*self.everything(), source])
        return [Phase("train", [tune], before=self.relate)]

    def relate(self, data: Data) -> None:
        """Estimate which source classes each target class resembles."""
        assert data.target is not None
        said = self.source_head(data.target.features()).softmax(1)
        found = direct_relationship(said, data.target.labels, self.task.outputs)
        self.scaffold.get_buffer("relationship").copy_(found)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.labelled()
        features = self.features(seen.inputs)
        fit = self.task.loss(self.head(features), seen.labels)
        looks_like = self.scaffold.get_buffer("relationship")[seen.labels]
        theirs = nn.functional.cross_entropy(self.source_head(features), looks_like)
        return fit + self.weight * theirs
