"""Sparse coding: inputs as sums of a few out of many basis vectors, learned from inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfergrid.strategies import ImpossibleError, Inputs

STEPS = 2000
"""Most steps of the search for an input's activations; a few dozen are usual."""
WARM = 20
"""Steps of this search in a round of learning, from the activations of the last round."""
LARGEST = 32
"""Larger images are averaged to this many pixels a side."""


def activations(
    inputs: Tensor, bases: Tensor, beta: float, steps: int = STEPS, start: Tensor | None = None
) -> Tensor:
    """Return the activations a, (n, k), that minimise |x - a B|^2 + beta |a|_1, by FISTA.

    The square has no factor 1/2: for a library that has one, alpha is beta / 2. Each input is
    solved independently of the others: its momentum restarts where it points backwards (O'Donoghue
    & Candès 2015, section 3), and it stops where a step no longer changes it.

    Args:
        inputs: x, (n, d).
        bases: B, (k, d).
        beta: weight of the L1 penalty.
        steps: most steps (Beck & Teboulle 2009, section 4).
        start: initial activations; None: 0.
    """
    gram, towards = bases @ bases.T, inputs @ bases.T
    rate = 1 / (2 * torch.linalg.matrix_norm(gram, 2).clamp_min(1e-12))
    close = torch.finfo(towards.dtype).eps ** 0.75
    found = torch.zeros_like(towards) if start is None else start
    ahead, pace = found, torch.ones_like(towards[:, :1])
    moves = torch.ones_like(pace, dtype=torch.bool)
    for _ in range(steps):
        moved = ahead - 2 * rate * (ahead @ gram - towards)
        shrunk = moved.sign() * (moved.abs() - rate * beta).clamp_min(0)
        step, way = shrunk - ahead, shrunk - found
        found = torch.where(moves, shrunk, found)
        moves = moves & (step.norm(dim=1, keepdim=True) > close * shrunk.norm(dim=1, keepdim=True))
        if not moves.any():
            break
        pace = torch.where((step * way).sum(1, keepdim=True) < 0, 1.0, pace)
        faster = (1 + (1 + 4 * pace**2).sqrt()) / 2
        ahead, pace = shrunk + (pace - 1) / faster * way, faster
    return found


def objective(inputs: Tensor, bases: Tensor, codes: Tensor, beta: float) -> Tensor:
    """Return |x - a B|^2 + beta |a|_1 of each input, (n,)."""
    return (inputs - codes @ bases).square().sum(1) + beta * codes.abs().sum(1)


def better_bases(inputs: Tensor, bases: Tensor, codes: Tensor) -> Tensor:
    """Return bases (k, d) of length at most 1 with a smaller residual, updated one after another.

    Each becomes the best one given the others, projected into the unit ball, so the sum of squared
    residuals cannot grow. A basis vector that no input uses stays as it is.
    """
    shared, towards, made = codes.T @ codes, codes.T @ inputs, bases.clone()
    for j in range(len(made)):
        if shared[j, j] > 0:
            own = made[j] + (towards[j] - shared[j] @ made) / shared[j, j]
            made[j] = own / own.norm().clamp_min(1)
    return made


def learned_bases(inputs: Tensor, start: Tensor, beta: float, rounds: int) -> Tensor:
    """Return bases (k, d) for inputs (n, d): activations and bases are improved alternately.

    Args:
        inputs: inputs without labels.
        start: initial bases, (k, d).
        beta: weight of the L1 penalty.
        rounds: number of rounds.
    """
    bases, codes = start, torch.zeros(len(inputs), len(start)).to(inputs)
    for _ in range(rounds):
        codes = activations(inputs, bases, beta, WARM, codes)
        bases = better_bases(inputs, bases, codes)
    return bases


def flat(inputs: Inputs) -> Tensor:
    """Return inputs as rows of numbers, (batch, d); large images are averaged to fewer pixels."""
    assert isinstance(inputs, Tensor)
    if inputs.ndim == 4 and max(inputs.shape[2:]) > LARGEST:
        inputs = nn.functional.adaptive_avg_pool2d(inputs, LARGEST)
    return inputs.flatten(1)


class SparseCoder(nn.Module):
    """Encodes inputs as activations; all that it learns is in buffers.

    Inputs are centred by the mean of the inputs that it learned from and divided by their root mean
    squared distance from it, so that a `beta` means the same whatever their unit.

    Args:
        example: an example input of the cell's network.
        bases: number of basis vectors.
        beta: weight of the L1 penalty.

    Raises:
        ImpossibleError: inputs are neither images nor vectors.
    """

    bases: Tensor
    centre: Tensor
    unit: Tensor

    def __init__(self, example: Inputs, bases: int, beta: float) -> None:
        super().__init__()
        if not isinstance(example, Tensor):
            raise ImpossibleError("sparse coding takes images or vectors, and no texts")
        width = flat(example).shape[1]
        self.beta = beta
        self.register_buffer("bases", torch.zeros(bases, width))
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("unit", torch.ones(()))

    def learn(self, inputs: Tensor, rounds: int) -> float:
        """Learn bases from rows (n, d) without labels; return the mean objective over the rows.

        Initial bases are inputs that torch draws, and random vectors if there are too few inputs.
        """
        self.centre.copy_(inputs.mean(0))
        unit = (inputs - self.centre).square().sum(1).mean().sqrt()
        self.unit.copy_(torch.where(unit > 0, unit, 1.0))
        rows = (inputs - self.centre) / self.unit
        others = torch.randn(self.bases.shape).to(rows)
        drawn = torch.randperm(len(rows))[: len(others)].to(rows.device)
        others[: len(drawn)] = rows[drawn]
        start = nn.functional.normalize(others, dim=1)
        self.bases.copy_(learned_bases(rows, start, self.beta, rounds))
        codes = activations(rows, self.bases, self.beta)
        return float(objective(rows, self.bases, codes, self.beta).mean())

    def forward(self, inputs: Inputs) -> Tensor:
        """Return activations, (batch, bases)."""
        rows = (flat(inputs) - self.centre) / self.unit
        return activations(rows.to(self.bases), self.bases, self.beta)
