"""Runs a strategy by the real driver, and hands out what a loop of plain torch needs for the same.

    run = trajectory(L2SP, {"alpha": 0.1})
    net = run.net()  # plain torch: net(inputs), net.features(inputs), net.backbone, net.head
    ...              # at most 40 lines that share no code with the product
    same(run, net)

All is in float64, on one thread, without augmentation and without dropout.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from transfergrid.data.batches import Batch, Labelled, StreamName
from transfergrid.data.views import View
from transfergrid.records.training import Training
from transfergrid.strategies.base import Strategy
from transfergrid.testing.bench import ALL, Bench, quiet_thread, source_domain, state_of
from transfergrid.testing.tiny import TinySource

STEPS = 20
PLAN: dict[str, Any] = {
    "steps": STEPS,
    "batch_size": 8,
    "optimizer": "adamw",  # betas and eps as torch has them
    "lr": 0.02,
    "weight_decay": 0.05,
    "momentum": 0.9,
    "schedule": "cosine",
    "augmentation": "none",
    "precision": "64-true",
}
"""What all trajectories share, unless told otherwise: names and values of `Training`."""
FEW = 5
"""Labels a class: so few that none validates, and the last step is the one that is kept."""


class Net(nn.Module):
    """The network in plain torch; its state dict has the names of the strategy's.

    `backbone.network` holds the layers, and so do their names: conv1, bn1, conv2, bn2, dense of the
    images' and words, body, dense of the texts'.
    """

    def __init__(self, layers: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.network = layers
        self.head = head

    def features(self, inputs: Any) -> Tensor:
        """Return embeddings, (batch, dim)."""
        layers: Any = self.backbone.network
        if not isinstance(inputs, dict):
            return layers(inputs)
        hidden = layers["body"](layers["words"](inputs["input_ids"]))
        real = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return layers["dense"]((hidden * real).sum(1) / real.sum(1))

    def forward(self, inputs: Any) -> Tensor:
        """Return logits, (batch, outputs)."""
        return self.head(self.features(inputs))


@dataclass
class Trajectory:
    """What a run began with, saw and ended with.

    Attributes:
        strategy: as training left it.
        start: its state dict after `attach`, float64.
        end: its state dict after the last step.
        batches: of each step, all streams that the cell has, whatever a phase reads. A phase's
            first batch is the one after the last of the phase before; a teacher's are counted
            apart, from the first one on.
        target: all labelled training examples, in the order of `rows`.
        unlabelled: all inputs of the target without labels, if the cell has them.
        source: all examples of each source domain.
        steps: of the whole run; 20, or more where a strategy takes more.
    """

    strategy: Strategy
    start: dict[str, Tensor]
    end: dict[str, Tensor]
    batches: list[Batch]
    target: Labelled | None
    unlabelled: Any
    source: tuple[Labelled, ...]
    steps: int
    layers: nn.Module
    head: nn.Module

    def net(self) -> Net:
        """Return the network with the weights of the start, in training mode."""
        net = Net(copy.deepcopy(self.layers), copy.deepcopy(self.head)).double().train()
        net.load_state_dict({name: self.start[name] for name in net.state_dict()})
        return net.requires_grad_(True)


def trajectory(
    kind: type[Strategy],
    arguments: Mapping[str, Any] | None = None,
    on: str = "images",
    labels: int | None = None,
    reads: Sequence[StreamName] = ALL,
    episode: tuple[int, int, int] = (5, 1, 15),
    batches: int = 0,
    **plan: Any,
) -> Trajectory:
    """Train a tiny cell for 20 steps.

    Args:
        kind: the strategy's class.
        arguments: of its constructor.
        on: "images" (a small convolutional net with BatchNorm), "tokens" (images through a vision
            transformer) or "texts" (an embedding, a dense layer with LayerNorm).
        labels: a class; None: 5, or 0 where the strategy uses none.
        reads: the streams that `batches` hold.
        episode: ways, shots and queries a class, where they hold episodes.
        batches: how many there are at least, where a teacher takes more than the student.
        plan: of `Training`, in the place of what `PLAN` says.
    """
    bench = _bench(kind, dict(arguments or {}), on, Training(**{**PLAN, **plan}))
    many = labels if labels is not None else FEW * (kind.needs.target_labels != "unused")
    with quiet_thread():
        setup, data = bench.set_up(many), bench.set_up(many).data
        strategy = setup.strategy
        for module in strategy.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        layers = copy.deepcopy(strategy.backbone.network)
        head, start = copy.deepcopy(strategy.head), state_of(strategy)
        steps = max(bench.driver(setup).run().steps, bench.training.steps)
        return Trajectory(
            strategy=strategy,
            start=doubled(start),
            end=state_of(strategy),
            batches=[
                doubled(bench.batch(data, step, reads, episode))
                for step in range(max(steps, batches))
            ],
            target=_whole(data.train),
            unlabelled=_whole(data.unlabelled).inputs if data.unlabelled is not None else None,
            source=tuple(_whole(view) for view in data.source),
            steps=steps,
            layers=layers,
            head=head,
        )


def _bench(kind: type[Strategy], arguments: dict[str, Any], on: str, training: Training) -> Bench:
    source = TinySource(domain=source_domain(kind.needs, differ=True))
    bench = Bench(kind, arguments, training=training, source=source)
    others = {"tokens": bench.on_tokens, "texts": bench.on_texts}
    return bench if on == "images" else others[on]()


def _whole(view: View | None) -> Any:
    if view is None:
        return None
    inputs, labels = doubled(view.inputs(view.rows)), view.labels
    return Labelled(inputs, torch.from_numpy(labels), torch.from_numpy(view.rows))


def doubled(value: Any) -> Any:
    """Return batches, inputs or states with float64 in the place of float32."""
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {name: doubled(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(doubled(part) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: doubled(getattr(value, f.name)) for f in fields(value)})
    return value


def same(run: Trajectory, net: nn.Module | Mapping[str, Tensor], tolerance: float = 1e-6) -> None:
    """Fail unless the run ended where an independent loop did, and neither stood still.

    Args:
        run: of the product.
        net: of the loop, or tensors by the names of the strategy's state dict; all of backbone and
            head are in it.
        tolerance: of each number.
    """
    state = net.state_dict() if isinstance(net, nn.Module) else dict(net)
    lacking = [n for n in run.end if n.startswith(("backbone.", "head.")) and n not in state]
    assert not lacking, f"the loop says nothing of {lacking}"
    far = {name: _distance(value, run.end[name]) for name, value in state.items()}
    wrong = {name: value for name, value in far.items() if not value <= tolerance}
    assert not wrong, f"the loop ends elsewhere: {wrong}"
    assert max(_distance(run.start[name], run.end[name]) for name in state) > 1e-3


def _distance(one: Tensor, other: Tensor) -> float:
    return (one.detach().double() - other.double()).abs().max().item()
