"""Full fine-tuning as a person would write it for one network: plain PyTorch, nothing around it.

It is given the batches, the evaluations and the first head of a cell, so that what it trains is
what the cell trains, and its scores are the cell's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from side_by_side import Watched
from torch import Tensor, nn
from typing_extensions import override

Network = Callable[[], nn.Module]
Rows = Sequence[Tensor]
"""Batches of row numbers."""


@dataclass(frozen=True)
class Plan:
    """The settings that matter here."""

    lr: float
    weight_decay: float
    clip: float | None
    looks: int


@dataclass(frozen=True)
class Job:
    """What a cell would draw by itself.

    Attributes:
        network: makes it, with its pretrained weights; it embeds inputs.
        head: the first state of a linear layer.
        inputs: of the pool and of the test split: images, or tokens by name.
        labels: of both.
        steps: of the pool, the rows of each training batch.
        dropout: the seed of each step.
        read: rows of the pool that train, rows that validate, rows of the test split; in batches.
        plan: how it is trained.
        device: where.
        channels_last: the memory format of images and network.
    """

    network: Network
    head: Mapping[str, Tensor]
    inputs: tuple[Any, Any]
    labels: tuple[Tensor, Tensor]
    steps: Rows
    dropout: Sequence[int]
    read: tuple[Rows, Rows, Rows]
    plan: Plan
    device: torch.device
    channels_last: bool = False


class Classifier(nn.Module):
    """A network that embeds, and a linear layer."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.network = job.network()
        out, width = job.head["weight"].shape
        self.head = nn.Linear(width, out)
        self.head.load_state_dict(job.head)
        if job.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @override
    def forward(self, inputs: Any) -> Tensor:
        logits: Tensor = self.head(self.network(inputs))
        return logits


def taken(inputs: Any, rows: Tensor, job: Job) -> Any:
    """Return these rows on the device; of tokens as many as the longest of them has."""
    if isinstance(inputs, dict):
        longest = int(inputs["attention_mask"][rows].sum(1).max())
        return {name: value[rows, :longest].to(job.device) for name, value in inputs.items()}
    image = inputs[rows].to(job.device)
    return image.contiguous(memory_format=torch.channels_last) if job.channels_last else image


def rate(progress: float) -> float:
    """Return the share of the learning rate: a short rise, then half a cosine."""
    if progress < 0.05:
        return max(progress / 0.05, 0.05)
    return 0.5 * (1 + math.cos(math.pi * (progress - 0.05) / 0.95))


@torch.no_grad()
def logits(model: Classifier, inputs: Any, batches: Rows, job: Job) -> Tensor:
    """Return what the model says of these batches, in eval mode."""
    model.eval()
    return torch.cat([model(taken(inputs, rows, job)).cpu() for rows in batches])


def accuracy(said: Tensor, labels: Tensor, batches: Rows) -> float:
    """Return the share that is right."""
    return float((said.argmax(1) == labels[torch.cat(list(batches))]).float().mean())


def run(job: Job, fit: Watched | None = None) -> tuple[float, list[float]]:
    """Train, choose the best look, score all parts; return the test score and the losses.

    Args:
        job: what to do.
        fit: counts the training, its looks among it.
    """
    model = Classifier(job).to(job.device)
    with fit or nullcontext():
        losses = _train(model, job)
    _, _, score = (
        accuracy(logits(model, job.inputs[part], batches, job), job.labels[part], batches)
        for part, batches in zip((0, 0, 1), job.read, strict=True)
        if len(batches)
    )
    return score, losses


def _train(model: Classifier, job: Job) -> list[float]:
    plan, (pool, _), labels = job.plan, job.inputs, job.labels[0].to(job.device)
    groups = [{"params": list(part.parameters())} for part in (model.head, model.network)]
    optimiser = torch.optim.AdamW(groups, plan.lr, weight_decay=plan.weight_decay, fused=True)
    best, kept, losses = -1.0, dict[str, Tensor](), []
    every = math.ceil(len(job.steps) / plan.looks)
    model.train()
    for step, rows in enumerate(job.steps):
        for group in optimiser.param_groups:
            group["lr"] = plan.lr * rate(step / len(job.steps))
        torch.manual_seed(job.dropout[step])
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(taken(pool, rows, job)), labels[rows])
        loss.backward()
        if plan.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
        optimiser.step()
        losses.append(loss.detach())
        if (step + 1) % every == 0 and len(job.read[1]):
            said = logits(model, pool, job.read[1], job)
            score = accuracy(said, job.labels[0], job.read[1])
            if score > best:
                best = score
                kept = {name: value.clone() for name, value in model.state_dict().items()}
            model.train()
    if kept:
        model.load_state_dict(kept)
    return [float(loss) for loss in losses]
