"""Check of a stackable strategy: several seeds can take a step together, by `vmap`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from typing_extensions import override

from transfergrid.data.torch_seed import seed_torch
from transfergrid.strategies.phases import Objective
from transfergrid.testing.bench import Bench, Moment
from transfergrid.testing.found import Broken, expect, some
from transfergrid.testing.learning import steps

Tensors = Mapping[str, Tensor]
MEND = (
    "Use the parameters and buffers that self has at the time of the call, keep nothing from call "
    "to call, ask no tensor for its value and draw from torch alone; or say stackable = False"
)


def stackable_loss_is_pure(bench: Bench) -> None:
    """Losses of a stackable strategy depend on parameters, buffers, batch and progress alone."""
    if not bench.strategy_class.stackable:
        return
    for labels in bench.budgets():
        for moment, _, objective in steps(bench, labels):
            module = LossModule(moment, objective)
            _expect_pure(bench, module)
            _expect_alike(module)


class LossModule(nn.Module):
    """A module whose forward pass is an objective's loss, and whose tensors are the strategy's."""

    def __init__(self, moment: Moment, objective: Objective) -> None:
        super().__init__()
        self.strategy, self.objective = moment.strategy, objective
        self.batch = moment.batch
        self.where = f"a loss of phase {moment.phase.name!r}"

    @override
    def forward(self, progress: float) -> Tensor:
        return self.objective.loss(self.batch, progress)

    def with_tensors(self, parameters: Tensors, buffers: Tensors, progress: float = 0.5) -> Tensor:
        """Return the loss with other parameters and buffers, a scalar."""
        found: Tensor = functional_call(self, {**parameters, **buffers}, (progress,))
        return found

    def tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return copies of the parameters and of the buffers, by name."""
        both = dict(self.named_parameters()), dict(self.named_buffers())
        one, other = ({n: t.detach().clone() for n, t in part.items()} for part in both)
        return one, other


def _expect_pure(bench: Bench, module: LossModule) -> None:
    """Compute the loss twice, with another progress in between; it may change no other tensors."""
    before = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    kept = {name: value.detach().clone() for name, value in before.items()}

    def said(progress: float) -> Tensor:
        bench.disturb()
        seed_torch(0)
        return module.with_tensors(*module.tensors(), progress)

    one, _, again = said(0.5), said(0.75), said(0.5)
    expect(torch.equal(one, again), f"{module.where} is another one when it is asked again", MEND)
    moved = [name for name, value in kept.items() if not torch.equal(value, before[name])]
    written = f"{module.where} writes {some(moved)} past the tensors that it was given"
    expect(not moved, written, MEND)


def _expect_alike(module: LossModule) -> None:
    """Two stacked networks get the gradients that each gets alone, without dropout."""
    module.strategy.eval()
    parameters, buffers = module.tensors()
    stacked = {name: torch.stack([value, 1.1 * value]) for name, value in parameters.items()}
    doubled = {name: torch.stack([value, value]) for name, value in buffers.items()}
    slope = grad(module.with_tensors)
    try:
        found = vmap(slope, randomness="different")(stacked, doubled)
    except Exception as error:
        told = f"{module.where} of two networks side by side raises {type(error).__name__}: {error}"
        raise Broken(f"{told}. {MEND}.") from error
    for place in (0, 1):
        own = {name: value[place].clone() for name, value in stacked.items()}
        alone = slope(own, {name: value.clone() for name, value in buffers.items()})
        far = [n for n, g in alone.items() if not torch.allclose(g, found[n][place], atol=1e-5)]
        expect(not far, f"{module.where} of two networks side by side is another one's", MEND)
