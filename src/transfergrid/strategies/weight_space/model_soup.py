"""Average the weights of a cell's trials instead of choosing one of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from transfergrid.strategies import Baselines, Data, Judge, Member, Needs, Strategy, rates
from transfergrid.strategies.weight_space.batch_statistics import norms_of, retake

Recipe = Literal["greedy", "uniform"]
T = TypeVar("T")


def greedy(
    order: Sequence[T],
    best: float,
    score: Callable[[Sequence[T]], float],
    equals: bool = False,
) -> list[T]:
    """Return the members of a greedy soup: each in turn joins if the mean with it scores higher.

    Args:
        order: the candidates, the best one first.
        best: score of the first one alone.
        score: returns the score of the mean of some candidates; higher is better.
        equals: whether a candidate also joins if the mean with it scores the same.
    """
    found = list(order[:1])
    for one in order[1:]:
        value = score([*found, one])
        if value > best or (equals and value == best):
            found, best = [*found, one], value
    return found


def mean_of(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each floating-point tensor; all others are those of the first state."""
    first = states[0]
    return {
        name: torch.stack([state[name] for state in states]).mean(0)
        if value.is_floating_point() and len(states) > 1
        else value
        for name, value in first.items()
    }


class ModelSoup(Strategy):
    """Full fine-tuning in every trial of a tuned cell, and the mean of their weights.

    All trials begin with the same weights and see the same batches; they differ in the searched
    hyperparameters. Greedy: starting from the best trial by validation (ties in trial order), a
    trial joins if the mean with it scores higher, as in the authors' code, or with `equals` if it
    scores no lower, as in their text. Uniform: all trials. If the mean is of several trials,
    BatchNorm's statistics are recomputed over the training inputs, and its count of batches is the
    best trial's. Without trials (`tuning=none`, or too few labels to validate) there is nothing to
    average, and a grid leaves this strategy out.

    Formula:
        w = (w_i1 + ... + w_im) / m, of the trials i1, ..., im that joined

    Try it:
        Where you tune anyway: the other trials are paid for. With wide searches use greedy, as a
        mean with weights that have moved far is nowhere near a minimum. Where few labels validate,
        most trials score alike: use `equals`, or the soup is a single trial.

    Cost:
        Every trial, as tuning costs. Their weights are held until the end (and in checkpoints), and
        each trial is validated once more. Prediction is one network's.

    Source:
        Wortsman et al. 2022, Model Soups: Averaging Weights of Multiple Fine-Tuned Models, arXiv
        2203.05482, recipe 1.

    Args:
        recipe: "greedy" or "uniform".
        equals: whether a trial also joins a greedy soup if its score stays the same.
        shared: `lr_factor`, which is searched, and `schedule`.
    """

    needs = Needs(trials=True)
    also_called = ("soup", "model_soups", "greedy_soup")
    variants = {"uniform_soup": "strategy.recipe=uniform"}
    badges = ("formula_exact", "trajectory_exact")
    baselines = Baselines(exploratory=["full_finetuning"])
    space = {"lr_factor": rates(0.3, small_images=1.0, images=0.3, text=0.1)}

    def __init__(self, recipe: Recipe = "greedy", equals: bool = False, **shared: Any) -> None:
        super().__init__(**shared)
        self.recipe, self.equals = recipe, equals

    def blend(self, members: Sequence[Member], judge: Judge, data: Data) -> list[int]:
        def score(some: Sequence[Member]) -> float:
            self._become(some, data)
            return judge()

        order = sorted(members, key=lambda member: -member.score)
        taken = order
        if self.recipe == "greedy":
            taken = greedy(order, order[0].score, score, self.equals)
        self._become(taken, data)
        return sorted(member.number for member in taken)

    def _become(self, some: Sequence[Member], data: Data) -> None:
        """Load the mean of these trials' weights."""
        self.load_state_dict(mean_of([member.state for member in some]), strict=False)
        if len(some) > 1 and data.target is not None:
            norms = norms_of(self.backbone, self.backbone.parameters())
            retake(norms, [data.target], self.backbone.embed)
