"""Attract the domains, perturb the target, and learn its confident predictions (APE)."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from transfergrid.strategies import (
    Baselines,
    Batch,
    ImpossibleError,
    Inputs,
    Needs,
    NotNegative,
    Objective,
    Phase,
    Positive,
    Range,
    Schedule,
    Share,
    Sizes,
    Strategy,
)
from transfergrid.strategies.adaptation.alignment import RATES, READS
from transfergrid.strategies.draws import own_generator, same_draws

SIGMAS = (1.0, 2.0, 5.0, 10.0)


def attraction(one: Tensor, other: Tensor) -> Tensor:
    """Return the biased MMD^2 under the sum of four Gaussian kernels exp(-d^2 / (2 s^2)).

    Args:
        one: features, (n, dim).
        other: features, (m, dim).
    """

    def mean(a: Tensor, b: Tensor) -> Tensor:
        squares = (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(2)
        return torch.stack([(-squares / (2 * s**2)).exp() for s in SIGMAS]).sum(0).mean()

    return mean(one, one) + mean(other, other) - 2 * mean(one, other)


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy of each row, (batch,), in nats."""
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1)


def exploration(logits: Tensor, threshold: float) -> Tensor:
    """Return the mean cross-entropy with the predicted class, over rows of entropy below threshold.

    It is 0 if there is no such row.
    """
    sure = (entropy(logits.detach()) < threshold).to(logits.dtype)
    own = cross_entropy(logits, logits.detach().argmax(1), reduction="none")
    return (sure * own).sum() / sure.sum().clamp_min(1)


def divergence(clean: Tensor, perturbed: Tensor) -> Tensor:
    """Return KL(softmax(clean) || softmax(perturbed)), averaged over batch and columns."""
    p, q = clean.log_softmax(1), perturbed.log_softmax(1)
    return (p.exp() * (p - q)).mean()


class Ape(Strategy):
    """Attract the domains to each other, perturb the target and explore what is sure of it.

    The head takes features of length 1, has no bias, and its outputs are divided by a temperature,
    as in the authors' code. So with all three weights at 0 it is `source_and_target` with such a
    head, and not the baseline itself. The labelled loss is one mean over the batches of both
    domains; few target labels are seen often. The first step has the losses of labels, attraction
    and exploration. The second step, of the backbone alone, lowers the effect of a perturbation. In
    both available codes this is a divergence between features under a softmax, not between class
    predictions, averaged over batch and columns. The clean side has the bare features, which learn
    too; the perturbed side has features of length 1. The perturbation is one gradient step up the
    entropy, with the gradient taken at a random offset of length 1 from the input. `radius` is a
    root mean square per pixel, because the code's length of 25 is for 3 x 224 x 224 values; the
    entropy threshold is a share of log C, because the code's 0.5 is for 126 classes. BatchNorm
    records labelled inputs alone.

    Formula:
        1: CE(source, target) + a MMD^2(labelled, unlabelled) + e mean of CE(p, argmax p) where
        H(p) < t log C; 2: b KL(softmax f(x) || softmax f'(x + r)), over all of the target,
        r = radius sqrt(n) grad H / |grad H|
    Try it:
        on images with a few target labels per class and many unlabelled inputs, where the labelled
        examples have moved to the source's features and the unlabelled ones stay behind
    Cost:
        three more passes of the target a batch and a second step, some four times
        `source_and_target`; nothing at prediction
    Source:
        Kim & Kim 2020, Attract, perturb, and explore: learning a feature alignment network for
        semi-supervised domain adaptation, ECCV, arXiv 2007.09375; values as in the authors' code

    Args:
        attract: a, weight of the distance between labelled and unlabelled features.
        explore: e, weight of the loss on confident predictions.
        perturb: b, weight of the divergence; at 0 there is no second step.
        threshold: t, entropy below which a prediction is confident, as a share of log C.
        temperature: divides the head's outputs.
        radius: size of the perturbation, as a root mean square of normalised pixels.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    also_called = ("attract_perturb_explore",)
    badges = ("formula_exact", "trajectory_exact")
    target_statistics = "recorded"
    needs = Needs(
        "start", "required", 1, "same", unlabelled=True, tasks=("classification",), layers="some"
    )
    baselines = Baselines("source_and_target", exploratory=["scratch", "full_finetuning"])
    space = {
        "lr_factor": RATES,
        "threshold": Range(0.02, 0.5, default=0.1),
        "radius": Range(0.01, 0.3, default=0.064),
    }
    transfers = "features"
    closed_to = {"probe_first": "its head is on features of length 1"}

    def __init__(
        self,
        attract: NotNegative = 10.0,
        explore: NotNegative = 1.0,
        perturb: NotNegative = 10.0,
        threshold: Share = 0.1,
        temperature: Positive = 0.05,
        radius: NotNegative = 0.064,
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.attract, self.explore, self.perturb = attract, explore, perturb
        self.threshold, self.temperature, self.radius = threshold, temperature, radius

    def build(self, sizes: Sizes) -> None:
        if isinstance(self.backbone.example(), dict):
            raise ImpossibleError("ape perturbs pixels, and tokens of texts are none")
        self.head.register_parameter("bias", None)

    def phases(self) -> list[Phase]:
        steps = [Objective(self.loss, self.everything())]
        if self.perturb:
            steps.append(Objective(self.of_perturbation, [self.backbone_group()]))
        return [Phase("adapt", steps, reads=READS)]

    def said(self, features: Tensor) -> Tensor:
        """Return logits, given features (batch, dim) of length 1."""
        logits: Tensor = self.head(features) / self.temperature
        return logits

    def predict(self, inputs: Inputs) -> Tensor:
        return self.said(normalize(self.features(inputs), dim=1))

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.unlabelled is not None
        seen = batch.labelled()
        features = normalize(self.features(seen.inputs), dim=1)
        labelled = self.task.loss(self.said(features), seen.labels)
        with same_draws(self):  # what follows draws the same numbers as without this pass
            other = normalize(self.features(batch.unlabelled, recorded=False), dim=1)
        explored = exploration(self.said(other), self.threshold * math.log(self.task.outputs))
        return labelled + self.attract * attraction(features, other) + self.explore * explored

    def of_perturbation(self, batch: Batch, progress: float) -> Tensor:
        """Return the divergence that a perturbation causes in the features of all target inputs."""
        assert batch.target is not None
        assert isinstance(batch.target.inputs, Tensor)
        assert isinstance(batch.unlabelled, Tensor)
        inputs = torch.cat([batch.target.inputs, batch.unlabelled])
        moved = inputs + self._uphill(inputs)
        clean, perturbed = (self.features(x, recorded=False) for x in (inputs, moved))
        return self.perturb * divergence(clean, normalize(perturbed, dim=1))

    def _uphill(self, inputs: Tensor) -> Tensor:
        """Return for inputs (batch, ...) the perturbation of size `radius` up the entropy."""
        drawing = own_generator(self, "ape")
        noise = torch.empty_like(inputs).normal_(generator=drawing)
        beside = (inputs + normalize(noise.flatten(1)).view_as(inputs)).requires_grad_()
        logits = self.said(normalize(self.features(beside, recorded=False), dim=1))
        (slope,) = torch.autograd.grad(entropy(logits).sum(), beside)
        way = normalize(slope.flatten(1), eps=1e-30).view_as(inputs)
        return self.radius * math.sqrt(inputs[0].numel()) * way
