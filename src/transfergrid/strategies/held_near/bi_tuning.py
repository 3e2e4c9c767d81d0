"""Fine-tune with two contrasts beside the labels: of heads with features, and of features."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from transfergrid.strategies import (
    Baselines,
    Batch,
    Count,
    Group,
    Inputs,
    Needs,
    NotNegative,
    Objective,
    Phase,
    Positive,
    Range,
    Share,
    Sizes,
    Strategy,
    evaluating,
    rates,
)
from transfergrid.strategies.draws import same_draws
from transfergrid.strategies.modes import unrecorded_statistics


def contrast(own: Tensor, queued: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return KL(even shares for all of one's class || softmax of similarities), a batch mean.

    It is the cross-entropy less log(K + 1), so that 0 is its least.

    Args:
        own: similarity to the one positive that is at hand, (batch,).
        queued: to what is in the queues, (batch, classes, K): positives are those of one's class.
        labels: of the batch.
        temperature: T, divides all similarities.
    """
    logs = (torch.cat([own.unsqueeze(1), queued.flatten(1)], 1) / temperature).log_softmax(1)
    rows, positives = torch.arange(len(labels), device=labels.device), queued.shape[2] + 1
    alike = logs[:, 1:].reshape(queued.shape)[rows, labels].sum(1)
    return -(logs[:, 0] + alike).mean() / positives - math.log(positives)


def with_one(features: Tensor) -> Tensor:
    """Return features (batch, dim) with a 1 behind, for a head's bias, of length 1."""
    return normalize(torch.cat([features, torch.ones_like(features[:, :1])], 1), dim=1)


class Queues(nn.Module):
    """The last K keys of each class, and those of the step at hand, which join them after it.

    Args:
        classes: how many there are.
        length: K.
        widths: of each kind of key, by its name.
        batch: examples of a step.
    """

    heads: Tensor
    waiting: Tensor

    def __init__(self, classes: int, length: int, widths: Mapping[str, int], batch: int) -> None:
        super().__init__()
        self.kinds = tuple(widths)
        for name, width in widths.items():
            noise = normalize(torch.randn(classes, length, width), dim=2)
            self.register_buffer(name, noise)
            self.register_buffer(f"new_{name}", torch.zeros(batch, width))
        self.register_buffer("new_labels", torch.zeros(batch, dtype=torch.int64))
        self.register_buffer("waiting", torch.zeros((), dtype=torch.int64))
        self.register_buffer("heads", torch.zeros(classes, dtype=torch.int64))

    def add(self, labels: Tensor, **keys: Tensor) -> None:
        """Let keys of each kind wait for the end of the step; more than a step has begin anew."""
        begin = int(self.waiting)
        begin = 0 if begin + len(labels) > len(self.get_buffer("new_labels")) else begin
        place = slice(begin, begin + len(labels))
        for name, own in keys.items():
            self.get_buffer(f"new_{name}")[place] = own.to(self.get_buffer(name).dtype)
        self.get_buffer("new_labels")[place] = labels
        self.waiting.fill_(begin + len(labels))

    def push(self) -> None:
        """Put the keys that wait in the place of the oldest of their classes, in their order."""
        classes, length = self.get_buffer(self.kinds[0]).shape[:2]
        labels = self.get_buffer("new_labels")[: int(self.waiting)]
        of_class = one_hot(labels, classes)
        before = (of_class.cumsum(0) - 1).gather(1, labels.unsqueeze(1))[:, 0]
        last = before >= of_class.sum(0)[labels] - length  # of more than K the last K stay
        place = (self.heads[labels] + before) % length
        for name in self.kinds:
            keys = self.get_buffer(f"new_{name}")[: len(labels)][last]
            self.get_buffer(name)[labels[last], place[last]] = keys
        self.heads.copy_((self.heads + of_class.sum(0)) % length)
        self.waiting.zero_()


class BiTuning(Strategy):
    """Labels, and two contrasts: a class's head with its features, and features with each other.

    Keys are of a second network that follows the first one slowly, on another augmented view of the
    same examples, images or texts; its dropout is its own. Without augmentation and dropout a key
    is made of the very inputs that its example has in the first network. A queue a class keeps the
    last of them and begins as noise. Both contrasts read the queues as they are before the keys of
    the step join them. The second network normalises by the batch, as the first one does, and the
    head learns nothing from its contrast. Predictions need neither.

    Formula:
        CE + lambda (CCE + CCL), each KL(1 / (K + 1) for the positives || softmax(similarity / T))
    Try it:
        with middling to many labels, and from self-supervised sources; with few labels a class its
        queue holds the same examples again and again, and K should be small
    Cost:
        one pass more a step, of the second network; memory of both and of queues, classes times K
        times (dim + projection); that of full fine-tuning at prediction
    Source:
        Zhong, Wang, Kou, Wang & Long 2020, Bi-tuning of pre-trained representations, arXiv
        2011.06182, section 3; values as in the authors' library, whose CCE alone reads its queue
        after the step's keys

    Args:
        weight: lambda, of both contrasts; 0 is full fine-tuning.
        temperature: T.
        queue: K, keys a class.
        momentum: share that the second network keeps of itself at each step.
        projection: width of the projections that are contrasted with each other.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    also_called = ("bituning", "bi-tuning")
    badges = ("formula_exact", "trajectory_exact")
    needs = Needs(tasks=("classification",))
    baselines = Baselines(exploratory=["full_finetuning"])
    space = {
        "lr_factor": rates(0.3, brief=0.95, small_images=1.0, images=3.2, text=0.1),
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
        super().__init__(**shared)
        self.weight, self.temperature, self.queue = weight, temperature, queue
        self.momentum, self.projection = momentum, projection

    def build(self, sizes: Sizes) -> None:
        dim, batch = self.backbone.dim, min(self.training_plan.batch_size, sizes.target)
        self.scaffold["projector"] = nn.Linear(dim, self.projection)
        self.scaffold["second"] = self.copied(self.backbone)
        self.scaffold["second_projector"] = self.copied(self.scaffold["projector"])
        widths = {"features": dim + 1, "projections": self.projection}
        self.scaffold["queues"] = Queues(self.task.outputs, self.queue, widths, batch)

    @property
    def queues(self) -> Queues:
        """The last keys of each class."""
        own = self.scaffold["queues"]
        assert isinstance(own, Queues)
        return own

    def phases(self) -> list[Phase]:
        projector = Group("projector", self.scaffold["projector"].parameters())
        tune = [Objective(self.loss, [*self.everything(), projector])]
        return [Phase("train", tune, 1.0, ["target", "again"], after=self.follow, cached=False)]

    def follow(self, step: int, steps: int) -> None:
        """Let the second network follow the first one, and the step's keys join the queues."""
        followers = (self.scaffold["second"], self.backbone)
        projectors = (self.scaffold["second_projector"], self.scaffold["projector"])
        for behind, ahead in (followers, projectors):
            for key, own in zip(behind.parameters(), ahead.parameters(), strict=True):
                key.lerp_(own, 1 - self.momentum)
        self.queues.push()

    def _keys(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return what the second network makes of another view: features and projections."""
        second = self.scaffold["second"]
        with torch.no_grad(), evaluating(second, training=True), unrecorded_statistics(second):
            features = second(inputs)
            return with_one(features), normalize(self.scaffold["second_projector"](features), dim=1)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.target
        assert seen is not None
        assert seen.again is not None
        features = self.features(seen.inputs)
        fit = self.task.loss(self.head(features), seen.labels)
        if not self.weight:
            return fit
        with same_draws(self):  # the next part of the batch draws what it would without
            keys = self._keys(seen.again)
        contrasts = self._of_heads(features, seen.labels)
        contrasts = contrasts + self._of_features(features, keys[1], seen.labels)
        self.queues.add(seen.labels, features=keys[0], projections=keys[1])
        return fit + self.weight * contrasts

    def _of_heads(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return CCE: each class's head should be like the features of its examples alone."""
        weight, bias = (part.detach() for part in self.head.parameters())
        heads = normalize(torch.cat([weight, bias.unsqueeze(1)], 1), dim=1)
        own = (with_one(features) * heads[labels]).sum(1)
        queued = torch.einsum("ckd,nd->nck", self.queues.get_buffer("features"), heads[labels])
        return contrast(own, queued, labels, self.temperature)

    def _of_features(self, features: Tensor, keys: Tensor, labels: Tensor) -> Tensor:
        """Return CCL: features should be like those of their class alone, in a projection."""
        projected = normalize(self.scaffold["projector"](features), dim=1)
        queue = self.queues.get_buffer("projections")
        queued = torch.einsum("ckd,nd->nck", queue, projected)
        return contrast((projected * keys).sum(1), queued, labels, self.temperature)
