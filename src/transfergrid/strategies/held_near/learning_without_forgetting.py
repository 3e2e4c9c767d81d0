"""Fine-tune while the source's own head keeps its outputs on the target's inputs."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from transfergrid.data.batches import Labelled
from transfergrid.strategies import (
    Baselines,
    Batch,
    Group,
    Inputs,
    Needs,
    NotNegative,
    Objective,
    Phase,
    Positive,
    Range,
    Sizes,
    Strategy,
    rates,
)
from transfergrid.strategies.distillation.said import heard, memory
from transfergrid.strategies.held_near.co_tuning import check_classes


def forgotten(recorded: Tensor, now: Tensor, temperature: float) -> Tensor:
    """Return KL(recorded || now) of softened outputs, a mean over the batch, without a factor T^2.

    Args:
        recorded: the source's logits before the first step, (batch, source classes).
        now: its head's logits on the current features, likewise.
        temperature: T, softens both.
    """
    return nn.functional.kl_div(
        nn.functional.log_softmax(now / temperature, dim=1),
        nn.functional.log_softmax(recorded / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )


class LearningWithoutForgetting(Strategy):
    """A source that is asked about the target's inputs should answer as it did at the start.

    The reference outputs are those of the weights before the first step, in eval mode, for the same
    augmented view that the network sees. No example of the source is needed, but its head is. The
    target's head makes the predictions. The paper's warm-up of the new head is `probe_first`.

    Formula:
        CE(target head, y) + lambda * KL(softmax(z_0 / T) || softmax(z / T)), z the source head's
    Try it:
        where the source's knowledge must be kept, or with few labels and a source whose classes
        tell the target's inputs apart; where the target's inputs mean nothing to the source, it
        holds back
    Cost:
        one more forward pass of the source a step, or a single one for each example where inputs
        are not augmented or have k views; memory of both networks in training; nothing more at
        prediction
    Source:
        Li & Hoiem 2016, Learning without forgetting, ECCV, arXiv 1606.09282, equations 2 to 4; KL
        has the same gradient as the paper's cross-entropy and is 0 at the start

    Args:
        weight: lambda, the weight of the source's outputs; 0 is full fine-tuning.
        temperature: T, softens both outputs.
        source_head: whether the source's head `learns`, as in the paper, or `stays` as it was.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    also_called = ("lwf",)
    badges = ("formula_exact", "trajectory_exact")
    needs = Needs("head", tasks=("classification",))
    baselines = Baselines(exploratory=["full_finetuning"])
    space = {
        "lr_factor": rates(3.0, brief=0.95, small_images=0.95, images=3.2, text=0.1),
        "weight": Range(0.1, 10.0, default=1.0),
        "temperature": Range(1.0, 10.0, default=2.0),
    }

    def __init__(
        self,
        weight: NotNegative = 1.0,
        temperature: Positive = 2.0,
        source_head: Literal["learns", "stays"] = "learns",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.weight, self.temperature = weight, temperature
        self.source_head_learns = source_head == "learns"

    def build(self, sizes: Sizes) -> None:
        check_classes(self.source_head, "learning_without_forgetting")
        self.scaffold["start"] = self.copied(self.backbone)
        self.scaffold["start_head"] = self.copied(self.source_head)
        classes = next(self.source_head.parameters()).shape[:1]
        self.scaffold["said"] = memory(self.training_plan, sizes.target, classes)

    def phases(self) -> list[Phase]:
        source = Group("source head", self.source_head.parameters())
        learns = [*self.everything(), *([source] if self.source_head_learns else [])]
        return [Phase("train", [Objective(self.loss, learns)], cached=False)]

    def said_at_the_start(self, inputs: Inputs) -> Tensor:
        """Return the source's logits before the first step, (batch, source classes)."""
        logits: Tensor = self.scaffold["start_head"](self.scaffold["start"](inputs))
        return logits

    def recorded(self, seen: Labelled) -> Tensor:
        """Return the source's first logits for a batch, cached where the same inputs were seen."""
        said, plan = self.scaffold["said"], self.training_plan
        with torch.no_grad():
            return heard(said, plan, seen, seen.inputs, self.said_at_the_start)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.labelled()
        features = self.features(seen.inputs)
        fit = self.task.loss(self.head(features), seen.labels)
        now = self.source_head(features)
        return fit + self.weight * forgotten(self.recorded(seen), now, self.temperature)
