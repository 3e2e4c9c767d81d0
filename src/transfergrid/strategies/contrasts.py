"""Contrasts with the keys of a second network that follows slowly, in a queue for each class."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from transfergrid.strategies import (
    Group,
    Inputs,
    NotNegative,
    Objective,
    Phase,
    Positive,
    Share,
    Strategy,
    StreamName,
    evaluating,
)
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


class ClassContrasts(Strategy):
    """Fine-tuning beside which features are contrasted with the keys of each class.

    A class of its own says which streams are read, and what its loss is.

    Args:
        weight: of the contrasts; 0 is full fine-tuning.
        temperature: T, divides similarities.
        queue: K, keys a class.
        momentum: share that the second network keeps of itself at each step.
        projection: width of the projections that are contrasted with each other.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    reads: tuple[StreamName, ...] = ("target", "again")

    def __init__(
        self,
        weight: NotNegative,
        temperature: Positive,
        queue: int,
        momentum: Share,
        projection: int,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.weight, self.temperature, self.queue = weight, temperature, queue
        self.momentum, self.projection = momentum, projection

    def follow_with(self, widths: Mapping[str, int], batch: int) -> None:
        """Make the second network and the queues, in `build`.

        Args:
            widths: of further kinds of keys than projections, by name.
            batch: examples of a step.
        """
        self.scaffold["projector"] = nn.Linear(self.backbone.dim, self.projection)
        self.scaffold["second"] = self.copied(self.backbone)
        self.scaffold["second_projector"] = self.copied(self.scaffold["projector"])
        kinds = {**widths, "projections": self.projection}
        self.scaffold["queues"] = Queues(self.task.outputs, self.queue, kinds, batch)

    @property
    def queues(self) -> Queues:
        """The last keys of each class."""
        own = self.scaffold["queues"]
        assert isinstance(own, Queues)
        return own

    def phases(self) -> list[Phase]:
        """Return one phase, the second network a step behind."""
        projector = Group("projector", self.scaffold["projector"].parameters())
        tune = [Objective(self.loss, [*self.everything(), projector])]
        return [Phase("train", tune, 1.0, self.reads, after=self.follow, cached=False)]

    def follow(self, step: int, steps: int) -> None:
        """Let the second network follow the first one, and the step's keys join the queues."""
        followers = (self.scaffold["second"], self.backbone)
        projectors = (self.scaffold["second_projector"], self.scaffold["projector"])
        for behind, ahead in (followers, projectors):
            for key, own in zip(behind.parameters(), ahead.parameters(), strict=True):
                key.lerp_(own, 1 - self.momentum)
        self.queues.push()

    def keys_of(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return what the second network makes of a view: features, and projections of length 1."""
        second = self.scaffold["second"]
        with torch.no_grad(), evaluating(second, training=True), unrecorded_statistics(second):
            features = second(inputs)
            return features, normalize(self.scaffold["second_projector"](features), dim=1)

    def apart(self, features: Tensor, keys: Tensor, labels: Tensor) -> Tensor:
        """Return how unlike features are to those of their class alone, in a projection."""
        projected = normalize(self.scaffold["projector"](features), dim=1)
        queue = self.queues.get_buffer("projections")
        queued = torch.einsum("ckd,nd->nck", queue, projected)
        return contrast((projected * keys).sum(1), queued, labels, self.temperature)
