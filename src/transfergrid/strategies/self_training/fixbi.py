"""Two networks on mixtures of the domains, one nearer to each, teach each other (FixBi)."""

import copy
import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from transfergrid.strategies import (
    Batch,
    Data,
    Group,
    ImpossibleError,
    Inputs,
    Needs,
    NotNegative,
    Objective,
    Part,
    Phase,
    Range,
    Schedule,
    Sizes,
    Strategy,
    in_one_run,
    rates,
)
from transfergrid.strategies.adaptation.alignment import ADAPTED


def confidence(logits: Tensor, deviations: float) -> tuple[Tensor, Tensor]:
    """Return each row's largest probability, and their mean minus `deviations` times their std.

    The standard deviation is with n - 1; for a single row it is 0.
    """
    top = logits.detach().softmax(1).amax(1)
    spread = top.std() if len(top) > 1 else torch.zeros_like(top[0])
    return top, top.mean() - deviations * spread


def matching(one: Tensor, other: Tensor, deviations: float) -> tuple[Tensor, Tensor]:
    """Return each network's cross-entropy with the other network's confident predictions.

    Both use the same number of confident rows: that of the network with fewer, the first ones.

    Args:
        one: logits of one network, (batch, classes).
        other: logits of the other network on the same inputs.
        deviations: how many standard deviations below the mean the confidence threshold lies.
    """
    sure = [_sure(logits, deviations) for logits in (one, other)]
    n = min(len(rows) for rows in sure)

    def taught(pupil: Tensor, teacher: Tensor, rows: Tensor) -> Tensor:
        return cross_entropy(pupil[rows[:n]], teacher.detach().argmax(1)[rows[:n]])

    return taught(one, other, sure[1]), taught(other, one, sure[0])


def _sure(logits: Tensor, deviations: float) -> Tensor:
    top, threshold = confidence(logits, deviations)
    return (top >= threshold).nonzero()[:, 0]


def penalty(logits: Tensor, temperature: Tensor, deviations: float) -> Tensor:
    """Return the mean of -log(1 - p), p of the predicted class, over rows below the threshold.

    Args:
        logits: (batch, classes).
        temperature: divides the logits in p.
        deviations: how many standard deviations below the mean the threshold lies.
    """
    top, threshold = confidence(logits, deviations)
    rows = (top < threshold).nonzero()[:, 0]
    labels = logits.detach().argmax(1)[rows]
    said = (logits[rows] / temperature).softmax(1).gather(1, labels.unsqueeze(1))
    return -(1 - said).clamp_min(1e-12).log().sum() / max(len(rows), 1)


class Fixbi(Strategy):
    """Two networks between the domains, one nearer to each, teach each other.

    A source model is trained, and both networks start from it. The first then learns from mixed
    inputs with a share `ratio` of the source, the second from inputs with that share of the target.
    Labels of the target are each network's own predictions, hard and without gradient. In the first
    part each network's unsure predictions are pushed away from the predicted class. In the second
    part each network learns the other's confident predictions, and both should give the same
    logits on inputs mixed half and half. The prediction is the mean of both networks'
    probabilities, as in the authors' code; another library uses the second network alone. In the
    authors' code the second network's penalty is taken where the first is unsure; here each penalty
    is of its own network, as in the paper. With the defaults stored in the authors' code the second
    part is never reached. All passes update BatchNorm's statistics, as there.

    Formula:
        sum over nets of r CE(p(mix), y_s) + (1 - r) CE(p(mix), y_t), and -log(1 - p_y / T) where
        max p < mean - d std; then CE by the other's sure labels, and the mean square of apart
        logits
    Try it:
        on images, with a source model that is right on most of the target: at two deviations nearly
        all predictions count as confident, and the wrong ones are learned too. Texts cannot be
        mixed
    Cost:
        four to six passes a step, memory of two networks; two passes at prediction
    Source:
        Na, Jung, Chang & Hwang 2021, FixBi: bridging domain spaces for unsupervised domain
        adaptation, CVPR, arXiv 2011.09230, section 3; reductions as in the authors' code

    Args:
        ratio: share of the source in the first network's inputs, of the target in the second's.
        deviations: a prediction is unsure this many standard deviations below a batch's mean.
        share: share of the steps in which the source model is trained.
        switch: share of the other steps after which the networks teach each other.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs = Needs(
        "start", "unused", 1, "same", unlabelled=True, tasks=("classification",), layers="some"
    )
    baselines = ADAPTED
    space = {
        "lr_factor": rates(3.0, small_images=0.95, images=0.3, text=0.1),
        "ratio": Range(0.55, 0.95, log=False, default=0.7),
        "switch": Range(0.1, 0.9, log=False, default=0.4),
    }
    setting, transfers = "transductive", "instances"
    moves_statistics = True
    closed_to = {
        "layer_decay": "two networks learn, and it is for one",
        "l2_sp": "two networks learn, and it is for one",
    }
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        ratio: Part = 0.7,
        deviations: NotNegative = 2.0,
        share: Part = 0.5,
        switch: Part = 0.4,
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.ratio, self.deviations, self.share, self.switch = ratio, deviations, share, switch

    def build(self, sizes: Sizes) -> None:
        if isinstance(self.backbone.example(), dict):
            raise ImpossibleError("fixbi mixes inputs, and tokens of texts cannot be mixed")
        self.second = copy.deepcopy(self.backbone)
        self.second_head = self.task.head(self.backbone.dim)
        for name in ("first", "second"):
            self.scaffold.register_parameter(name, nn.Parameter(torch.tensor(5.0)))

    def phases(self) -> list[Phase]:
        parts = {"apart": self.switch, "together": 1 - self.switch}
        pair = [
            Phase(
                name,
                [Objective(partial(self.of_pair, name), self._groups(name))],
                (1 - self.share) * share,
                ["source", "unlabelled"],
                self.become_two if name == "apart" else None,
                cached=False,
            )
            for name, share in parts.items()
        ]
        source = Objective(self.on_source, self.everything())
        begin = Phase("source", [source], self.share, ["source"], predicts=self.first_says)
        return [begin, *in_one_run(pair, self.shared_schedule)]

    def _groups(self, phase: str) -> list[Group]:
        """Return a group for each network, in the phase `apart` with its temperature."""
        own = {"first": (self.head, self.backbone), "second": (self.second_head, self.second)}
        groups = []
        for name, parts in own.items():
            weights = [weight for part in parts for weight in part.parameters()]
            weights += [self.scaffold.get_parameter(name)] if phase == "apart" else []
            groups.append(Group(name, weights))
        return groups

    def become_two(self, data: Data) -> None:
        """Copy the first network and its head into the second."""
        self.second.load_state_dict(self.backbone.state_dict())
        self.second_head.load_state_dict(self.head.state_dict())

    def first_says(self, inputs: Inputs) -> Tensor:
        """Return the first network's logits, (batch, classes)."""
        return super().predict(inputs)

    def second_says(self, inputs: Inputs) -> Tensor:
        """Return the second network's logits, (batch, classes)."""
        logits: Tensor = self.second_head(self.second(inputs))
        return logits

    def on_source(self, batch: Batch, progress: float) -> Tensor:
        """Return the first network's loss on the source domain."""
        seen = batch.source[0]
        return self.task.loss(self.first_says(seen.inputs), seen.labels)

    def of_pair(self, phase: str, batch: Batch, progress: float) -> Tensor:
        """Return the sum of both networks' losses in the phase `apart` or `together`."""
        own, target = batch.source[0], batch.unlabelled
        assert isinstance(own.inputs, Tensor)
        assert isinstance(target, Tensor)
        n = min(len(own.labels), len(target))  # mixing pairs the two domains' examples
        source, labels, target = own.inputs[:n], own.labels[:n], target[:n]
        first, second = self.first_says(target), self.second_says(target)
        total = torch.zeros((), device=target.device)
        for says, logits, ratio in (
            (self.first_says, first, self.ratio),
            (self.second_says, second, 1 - self.ratio),
        ):
            mixed = says(ratio * source + (1 - ratio) * target)
            total = total + self.mixture(mixed, labels, logits.detach().argmax(1), ratio)
        if phase == "apart":
            for logits, name in ((first, "first"), (second, "second")):
                temperature = self.scaffold.get_parameter(name)
                total = total + penalty(logits, temperature, self.deviations)
            return total
        one, other = matching(first, second, self.deviations)
        half = (source + target) / 2
        return total + one + other + mse_loss(self.first_says(half), self.second_says(half))

    def mixture(self, logits: Tensor, labels: Tensor, pseudo: Tensor, ratio: float) -> Tensor:
        """Return the loss on mixed inputs: labels weigh `ratio`, pseudo labels 1 - `ratio`."""
        return ratio * self.task.loss(logits, labels) + (1 - ratio) * cross_entropy(logits, pseudo)

    def predict(self, inputs: Inputs) -> Tensor:
        both = torch.stack([self.first_says(inputs), self.second_says(inputs)])
        return both.log_softmax(2).logsumexp(0) - math.log(2)
