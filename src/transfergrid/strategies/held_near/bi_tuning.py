"""Fine-tune on labels and two contrastive losses: class weights with features, and features."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from transfergrid.strategies import (
    Baselines,
    Batch,
    Count,
    Needs,
    NotNegative,
    Positive,
    Range,
    Share,
    Sizes,
    rates,
)
from transfergrid.strategies.contrasts import ClassContrasts, contrast
from transfergrid.strategies.draws import same_draws


def with_one(features: Tensor) -> Tensor:
    """Return features (batch, dim) with a 1 appended for the head's bias, each row of length 1."""
    return normalize(torch.cat([features, torch.ones_like(features[:, :1])], 1), dim=1)


class BiTuning(ClassContrasts):
    """Labels, and two contrasts: a class's head with its features, and features with each other.

    Keys come from a second network that slowly follows the first one (a momentum encoder), applied
    to another augmented view of the same examples, images or texts; it draws its own dropout.
    Without augmentation and dropout a key is computed from exactly the inputs that the first
    network sees. A queue for each class keeps the latest keys and begins as noise. Both contrastive
    losses read the queues before the keys of this step join them. The second network normalises by
    the batch, as the first one does, and the head gets no gradient from its contrastive loss.
    Prediction needs neither the second network nor the queues.

    Formula:
        CE + lambda (CCE + CCL), each KL(1 / (K + 1) for the positives || softmax(similarity / T))
    Try it:
        with a medium to large number of labels, and from self-supervised sources; with few labels a
        class, its queue holds the same examples again and again, so K should be small
    Cost:
        one more forward pass a step, of the second network; memory for it and for the queues,
        classes times K times (dim + projection); nothing more at prediction
    Source:
        Zhong, Wang, Kou, Wang & Long 2020, Bi-tuning of pre-trained representations, arXiv
        2011.06182, section 3; values as in the authors' library, where CCE (but not CCL) reads its
        queue after the step's keys have joined it

    Args:
        weight: lambda, the weight of both contrastive losses; 0 is full fine-tuning.
        temperature: T.
        queue: K, the number of keys for each class.
        momentum: share of its own weights that the second network keeps at each step.
        projection: width of the projected features that CCL compares.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    also_called = ("bituning", "bi-tuning")
    badges = ("formula_exact", "trajectory_exact")
    needs = Needs(tasks=("classification",))
    baselines = Baselines(exploratory=["full_finetuning"])
    space = {
        "lr_factor": rates(0.3, brief=0.95, small_images=0.95, images=3.2, text=0.3),
        "weight": Range(0.1, 10.0, default=1.0),
        "temperature": Range(0.02, 0.5, default=0.07),
    }

    def __init__(
        self,
        weight: NotNegative = 1.0,
        temperature: Positive = 0.07,
        queue: Count = 40,
        momentum: Share = 0.999,
        projection: Count = 128,
        **shared: Any,
    ) -> None:
        super().__init__(weight, temperature, queue, momentum, projection, **shared)

    def build(self, sizes: Sizes) -> None:
        batch = min(self.training_plan.batch_size, sizes.target)
        self.follow_with({"features": self.backbone.dim + 1}, batch)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.target
        assert seen is not None
        assert seen.again is not None
        features = self.features(seen.inputs)
        fit = self.task.loss(self.head(features), seen.labels)
        if not self.weight:
            return fit
        with same_draws(self):  # so that the next part of the batch draws the same numbers
            others, keys = self.keys_of(seen.again)
        contrasts = self._of_heads(features, seen.labels)
        contrasts = contrasts + self.apart(features, keys, seen.labels)  # CCL
        self.queues.add(seen.labels, features=with_one(others), projections=keys)
        return fit + self.weight * contrasts

    def _of_heads(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return CCE, which pulls each class's weights to the features of its examples alone."""
        weight, bias = (part.detach() for part in self.head.parameters())
        heads = normalize(torch.cat([weight, bias.unsqueeze(1)], 1), dim=1)
        own = (with_one(features) * heads[labels]).sum(1)
        queued = torch.einsum("ckd,nd->nck", self.queues.get_buffer("features"), heads[labels])
        return contrast(own, queued, labels, self.temperature)
