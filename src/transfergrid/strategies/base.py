"""What strategies share: the head, the optimiser and its rates, and that frozen means frozen."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Batch, CellData, Labelled
from transfergrid.data.inputs import Inputs
from transfergrid.records.component import Component
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.needs import Baselines, Needs, describe
from transfergrid.records.seeds import stream_seed
from transfergrid.records.training import SCHEDULES, Training
from transfergrid.sources.backbone import Backbone


@dataclass
class ParamGroup:
    """Parameters that learn at `factor` times the strategy's rate."""

    name: str
    parameters: list[nn.Parameter]
    factor: float = 1.0


class Strategy(pl.LightningModule, Component):
    """How a source's knowledge reaches the target.

    A subclass takes its hyperparameters as constructor arguments (plain values, the keys of its
    YAML), states its `needs`, and overrides what differs: `build`, `prepare`, `trainable`, `loss`,
    `predict`. `attach` gives it the backbone and the task before any of these is called.

    Args:
        lr_factor: multiplies the shared learning rate of `Training`.
        schedule: replaces the shared schedule where the method brings its own; None keeps it.

    Raises:
        BadInputError: there is no such schedule, or the factor is not above 0.
    """

    needs: ClassVar[Needs] = Needs()
    baselines: ClassVar[Baselines] = Baselines()
    training_only: ClassVar[tuple[str, ...]] = ()
    """Modules, parameters and buffers of `build` or `prepare` that `predict` does not use."""

    backbone: Backbone
    head: nn.Module
    classes: tuple[str, ...]
    training_plan: Training
    block_seed: int

    def __init__(self, lr_factor: float = 1.0, schedule: str | None = None) -> None:
        super().__init__()
        self._keep_arguments()
        if not lr_factor > 0:
            raise BadInputError(f"strategy.lr_factor must be above 0: {lr_factor}")
        if schedule is not None:
            check_known("strategy.schedule", schedule, SCHEDULES)
        self.lr_factor, self.schedule = lr_factor, schedule

    def _keep_arguments(self) -> None:
        """Keep the arguments of the subclass's own constructor, and no others, in `hparams`."""
        own = list(inspect.signature(type(self)).parameters)
        frame = inspect.currentframe()
        if own and frame is not None:  # without names Lightning would take the base's arguments
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a teacher among them is a module: on purpose
                self.save_hyperparameters(*own, logger=False, frame=frame.f_back)

    @classmethod
    @override
    def about(cls) -> dict[str, Any]:
        return {**super().about(), **describe(cls.needs, cls.baselines)}

    # What a subclass overrides -----------------------------------------------------------------

    def build(self) -> None:
        """Create further modules (discriminator, adapter, student); backbone and head exist."""

    def prepare(self, data: CellData) -> None:
        """Compute what the method needs before its first step."""

    def trainable(self) -> list[ParamGroup]:
        """Return the groups that learn; everything else is frozen. `[]`: no training at all."""
        return [
            ParamGroup("head", list(self.head.parameters())),
            ParamGroup("backbone", list(self.backbone.parameters())),
        ]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Return the scalar that this step minimises; `progress` runs from 0 to 1."""
        assert batch.target is not None
        logits = self.predict(batch.target.inputs)
        return nn.functional.cross_entropy(logits, batch.target.labels)

    def predict(self, inputs: Inputs) -> Tensor:
        """Return logits, (batch, classes)."""
        logits: Tensor = self.head(self.backbone.embed(inputs))
        return logits

    def step_limit(self, steps: int) -> int:
        """Return how many steps at most, given the shared budget."""
        return steps

    def rate(self, step: int, limit: int) -> float:
        """Return the schedule's multiple of the learning rate at this step."""
        return SCHEDULES[self.schedule or self.training_plan.schedule](step / limit)

    # What is the same for all ------------------------------------------------------------------

    def attach(
        self, backbone: Backbone | None, classes: Sequence[str], training: Training, seed: int
    ) -> None:
        """Give the strategy its backbone and task; the head depends on seed, width and classes.

        The backbone is None where `needs.source` is `none`; there is no head then.
        """
        self.classes, self.training_plan, self.block_seed = tuple(classes), training, seed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(seed, "head"))
            if backbone is not None:
                self.backbone = backbone
                self.head = nn.Linear(backbone.dim, len(classes))
            self.build()
        self._freeze()

    def _freeze(self) -> None:
        learning = {id(p) for group in self.trainable() for p in group.parameters}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in learning)
        self.train(self.training)

    @override
    def train(self, mode: bool = True) -> Strategy:
        super().train(mode)
        if mode:
            _still(self)
        return self

    def kept_state(self) -> dict[str, Tensor]:
        """Return what is kept of a trained strategy: its state dict, less what only trains."""
        return {
            name: value
            for name, value in self.state_dict().items()
            if not any(f"{name}.".startswith(f"{part}.") for part in self.training_only)
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over the `kept_state` of an equal strategy; it is attached, but not prepared.

        Raises:
            ValueError: it is of another strategy, or needs a module that `prepare` makes.
        """
        try:
            for name in state.keys() - dict(self.named_parameters()).keys():
                path, _, buffer = name.rpartition(".")  # `prepare` may have made it, or resized it
                self.get_submodule(path).register_buffer(buffer, state[name].clone())
            self.load_state_dict(dict(state), strict=False)
        except (AttributeError, KeyError, RuntimeError) as error:
            raise ValueError(" ".join(str(error).split())) from error
        lacking = sorted(self.kept_state().keys() - state.keys())
        if lacking:
            raise ValueError(f"it lacks {', '.join(lacking[:3])}")
        self.eval()

    @property
    def limit(self) -> int:
        """The number of steps that this run may take."""
        return self.step_limit(self.training_plan.steps)

    @override
    def forward(self, inputs: Inputs) -> Tensor:
        return self.predict(inputs)

    @override
    def on_fit_start(self) -> None:
        self.train()  # Trainer.fit leaves the mode as it found it

    @override
    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        base = self.training_plan.lr * self.lr_factor * self.rate(batch_idx, self.limit)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = base * group["factor"]
        # Dropout is of the seed block too: an arm that draws more of it in one step would else
        # differ from the others in all later ones.
        torch.manual_seed(stream_seed(self.block_seed, "dropout", batch_idx))

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.loss(batch, batch_idx / self.limit)

    @override
    def validation_step(self, batch: Labelled, batch_idx: int) -> Tensor:
        return self.predict(batch.inputs)

    @override
    def predict_step(self, batch: Labelled, batch_idx: int) -> Tensor:
        return self.predict(batch.inputs)

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        plan = self.training_plan
        groups = [
            {"params": group.parameters, "factor": group.factor, "name": group.name}
            for group in self.trainable()
            if group.parameters
        ]
        decay = plan.weight_decay
        fused = plan.precision != "16-mixed"  # Lightning cannot clip what a scaler has fused
        if plan.optimizer == "sgd":
            nesterov = plan.momentum > 0
            return torch.optim.SGD(
                groups, plan.lr, plan.momentum, 0, decay, nesterov=nesterov, fused=fused
            )
        return torch.optim.AdamW(groups, plan.lr, weight_decay=decay, fused=fused)


def _still(module: nn.Module) -> None:
    """Put every part in which nothing learns into eval mode: no dropout, no moving statistics.

    A layer without parameters does as the part does that it is in.
    """
    for child in module.children():
        parameters = list(child.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            child.eval()
        else:
            _still(child)
