"""Boosting that lowers the weights of source examples which the target contradicts (TrAdaBoost)."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from transfergrid.strategies import Baselines, Count, Inputs, Needs, Positive, Range, Sizes
from transfergrid.strategies.closed_form.softmax_regression import TINY, Floats
from transfergrid.strategies.shallow.frozen import C, Frozen, OnFrozenFeatures, linear_head
from transfergrid.strategies.shallow.weighting import effective_sample_size


def shrinking(examples: int, rounds: int) -> float:
    """Return beta = 1 / (1 + sqrt(2 ln n / N)), the factor on a wrong source example's weight.

    Args:
        examples: n, number of source examples.
        rounds: N, number of rounds.
    """
    return float(1 / (1 + np.sqrt(2 * np.log(examples) / rounds)))


class Boosted(NamedTuple):
    """The weights after one round.

    Attributes:
        source: weights of source examples, (n,).
        target: weights of target examples, (k,).
        error: weighted error on the target's examples; `none` of `boosted` where it is 0.
        odds: beta_t = error / (1 - error).
    """

    source: Floats
    target: Floats
    error: float
    odds: float


def boosted(
    source: Floats,
    target: Floats,
    wrong: tuple[Floats, Floats],
    shrink: float,
    none: float = 0.0,
) -> Boosted:
    """Return the weights after a round.

    Where the round's head errs, source weights are multiplied by beta and target weights divided by
    beta_t.

    Args:
        source: weights, (n,).
        target: weights, (k,).
        wrong: for source (n,) and target (k,): 1 where the round's head errs, else 0.
        shrink: beta.
        none: the value that replaces an error of 0.
    """
    error = float(target @ wrong[1] / target.sum()) or none
    odds = error / max(1 - error, TINY)
    grown = target * np.where(wrong[1] > 0, 1 / odds, 1.0) if odds else target
    return Boosted(source * shrink ** wrong[0], grown, error, odds)


class Tradaboost(OnFrozenFeatures):
    """TrAdaBoost: wrong source examples count less in each round, wrong target ones more.

    A round's learner is a weighted linear head. The later half of the rounds vote, each with weight
    log(1 / beta_t), and the share of votes serves as a probability. As in the paper, n in beta is
    the number of source examples and the logarithm is of n alone; several implementations take
    ln(n / N). Declared: all examples start with the same weight; weights are scaled to a mean of 1
    for each fit; an error of 0 counts as half of one average target example; a round whose error is
    a half or more ends the boosting and has no vote, unless it is the first, which is then the
    only one. With more than two classes an example is either wrong or not, and votes are counted by
    class. Source weights never grow: the record tells their part of the total weight at the end,
    their effective sample size, and the number of rounds.

    Formula:
        w_s <- w_s beta^[wrong], w_t <- w_t beta_t^-[wrong]; beta = 1 / (1 + sqrt(2 ln n / N)),
        beta_t = e_t / (1 - e_t), e_t the weighted error on the target; argmax_k sum over rounds
        ceil(N / 2)..N of log(1 / beta_t) [h_t(x) = k]
    Try it:
        with some labels per class, where a part of the source's labels is misleading
    Cost:
        `rounds` convex problems; `rounds` linear heads at prediction
    Source:
        Dai et al. 2007, Boosting for Transfer Learning, ICML, figure 1 (algorithm TrAdaBoost)

    Args:
        rounds: N, at most.
        c: C of a round's head.
    """

    needs = Needs("weights", "required", 1, "same", steps=False, tasks=("classification",))
    baselines = Baselines("source_and_target", None, ["source_probe", "logistic_probe"])
    space = {"c": C, "rounds": Range(10, 100, default=30)}
    setting, transfers = "inductive", "instances"
    also_called = ("transfer_adaboost",)
    badges = ("formula_exact",)
    version = 2  # version 1 replaced small errors, too, by half an example's
    finds = ("rounds", "source_share", "effective_sample_size")

    weights: Tensor
    biases: Tensor
    votes: Tensor

    def __init__(self, rounds: Count = 30, c: Positive = 1.0) -> None:
        super().__init__(c)
        self.rounds = rounds

    def build(self, sizes: Sizes) -> None:
        super().build(sizes)
        self.head = nn.Identity()
        shape = self.rounds, self.task.outputs
        self.register_buffer("weights", torch.zeros(*shape, self.backbone.dim))
        self.register_buffer("biases", torch.zeros(shape))
        self.register_buffer("votes", torch.zeros(self.rounds))

    def adapt(self, seen: Frozen) -> None:
        n, k = len(seen.source), len(seen.labelled)
        rows, labels = seen.pooled(), seen.pooled_labels
        source, target = np.ones(n), np.ones(k)
        shrink, done, votes = shrinking(n, self.rounds), 0, np.zeros(self.rounds)
        for number in range(self.rounds):
            counts = np.append(source, target)
            told = linear_head(self.task, rows, labels, self.c, counts / counts.mean())
            wrong = ((rows @ told[0].T + told[1]).argmax(axis=1) != labels).astype(float)
            after = boosted(source, target, (wrong[:n], wrong[n:]), shrink, 0.5 / k)
            if after.error >= 0.5 and number:
                break
            self.weights[number].copy_(torch.from_numpy(told[0]))
            self.biases[number].copy_(torch.from_numpy(told[1]))
            done = number + 1
            if after.error >= 0.5:
                votes[0] = 1.0
                break
            votes[number] = np.log(1 / after.odds)
            source, target = after.source, after.target
        votes[: int(np.ceil(done / 2)) - 1] = 0.0
        self.votes.copy_(torch.from_numpy(votes))
        share = source.sum() / (source.sum() + target.sum())
        ess = effective_sample_size(source)
        self.note(rounds=done, source_share=share, effective_sample_size=ess)

    def predict(self, inputs: Inputs) -> Tensor:
        said = torch.einsum("bd,rkd->brk", self.features(inputs), self.weights) + self.biases
        votes = one_hot(said.argmax(2), said.shape[2]).to(self.votes) * self.votes[:, None]
        return self.task.encode(votes.sum(1) / self.votes.sum())
