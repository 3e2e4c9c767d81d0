"""Contrastive losses with keys of a slowly following second network, one queue per class."""

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
    """Return the batch mean of KL(uniform over an example's positives || softmax(similarity / T)).

    It is the cross-entropy minus log(K + 1), so its minimum is 0. An example's K + 1 positives are
    its own key and the K queued keys of its class.

    Args:
        own: similarity of each example to its own key, (batch,).
        queued: similarity of each example to all queued keys, (batch, classes, K).
        labels: of the batch, (batch,).
        temperature: T, divides all similarities.
    """
    logs = (torch.cat([own.unsqueeze(1), queued.flatten(1)], 1) / temperature).log_softmax(1)
    rows, positives = torch.arange(len(labels), device=labels.device), queued.shape[2] + 1
    alike = logs[:, 1:].reshape(queued.shape)[rows, labels].sum(1)
    return -(logs[:, 0] + alike).mean() / positives - math.log(positives)


class Queues(nn.Module):
    """The last K keys of each class, and the current step's keys, which join them after the step.

    Args:
        classes: number of classes.
        length: K.
        widths: width of each kind of key, by the kind's name.
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
        """Store a step's keys of each kind until `push`; start over if there are too many.

        More keys than one step has mean that the keys stored before were of a step that never
        ended: they are overwritten.
        """
        begin = int(self.waiting)
        begin = 0 if begin + len(labels) > len(self.get_buffer("new_labels")) else begin
        place = slice(begin, begin + len(labels))
        for name, own in keys.items():
            self.get_buffer(f"new_{name}")[place] = own.to(self.get_buffer(name).dtype)
        self.get_buffer("new_labels")[place] = labels
        self.waiting.fill_(begin + len(labels))

    def push(self) -> None:
        """Let the stored keys replace the oldest keys of their classes, in their order."""
        classes, length = self.get_buffer(self.kinds[0]).shape[:2]
        labels = self.get_buffer("new_labels")[: int(self.waiting)]
        of_class = one_hot(labels, classes)
        before = (of_class.cumsum(0) - 1).gather(1, labels.unsqueeze(1))[:, 0]
        last = before >= of_class.sum(0)[labels] - length  # if a class has more than K: its last K
        place = (self.heads[labels] + before) % length
        for name in self.kinds:
            keys = self.get_buffer(f"new_{name}")[: len(labels)][last]
            self.get_buffer(name)[labels[last], place[last]] = keys
        self.heads.copy_((self.heads + of_class.sum(0)) % length)
        self.waiting.zero_()


class ClassContrasts(Strategy):
    """Fine-tuning beside which features are contrasted with the keys of each class.

    A subclass says which streams are read (`reads`) and what the loss is.

    Args:
        weight: weight of the contrastive loss; 0 is full fine-tuning.
        temperature: T, divides similarities.
        queue: K, keys per class.
        momentum: share of its own weights that the second network keeps at each step.
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
        """Make the projector, the second network and the queues; call it in `build`.

        Args:
            widths: widths of kinds of keys other than projections, by name.
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
        """Return one phase, in which the second network is updated after each step."""
        projector = Group("projector", self.scaffold["projector"].parameters())
        tune = [Objective(self.loss, [*self.everything(), projector])]
        return [Phase("train", tune, 1.0, self.reads, after=self.follow, cached=False)]

    def follow(self, step: int, steps: int) -> None:
        """Move the second network towards the first, and put the step's keys into the queues."""
        followers = (self.scaffold["second"], self.backbone)
        projectors = (self.scaffold["second_projector"], self.scaffold["projector"])
        for behind, ahead in (followers, projectors):
            for key, own in zip(behind.parameters(), ahead.parameters(), strict=True):
                key.lerp_(own, 1 - self.momentum)
        self.queues.push()

    def keys_of(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return the second network's features of inputs, and their projections of length 1.

        It runs in training mode without gradients; BatchNorm records nothing.
        """
        second = self.scaffold["second"]
        with torch.no_grad(), evaluating(second, training=True), unrecorded_statistics(second):
            features = second(inputs)
            return features, normalize(self.scaffold["second_projector"](features), dim=1)

    def apart(self, features: Tensor, keys: Tensor, labels: Tensor) -> Tensor:
        """Return the contrastive loss of projected features.

        Args:
            features: of the first network, (batch, dim).
            keys: the second network's projections of the same examples, (batch, projection).
            labels: labels or pseudo labels, (batch,).
        """
        projected = normalize(self.scaffold["projector"](features), dim=1)
        queue = self.queues.get_buffer("projections")
        queued = torch.einsum("ckd,nd->nck", queue, projected)
        return contrast((projected * keys).sum(1), queued, labels, self.temperature)
