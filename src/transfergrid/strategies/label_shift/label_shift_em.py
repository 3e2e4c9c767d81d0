"""A source model's predictions, calibrated and corrected to the target's class shares (EM)."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from transfergrid.data.inputs import Inputs
from transfergrid.strategies import Data, Phase, Sizes
from transfergrid.strategies.label_shift.shares import LabelShift

ROUNDS, STILL = 2000, 1e-9
"""EM stops after so many rounds, or when no share changes by more than this."""
RIDGE = 1e-4
"""Penalty on 1/T - 1 and b: if all predictions are right, the likelihood has no maximum."""


def calibration(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return 1/T and b for which softmax(z / T + b) fits the labels best.

    This is bias-corrected temperature scaling. The problem is convex. At its solution the mean
    prediction equals the labels' shares, except for the effect of a small penalty: 1e-4 / 2 times
    the squares of 1/T - 1 and b. Without examples they are 1 and 0.

    Args:
        outputs: logits z of examples that the model was not trained on, (n, classes) float64.
        labels: their classes, (n,).
    """
    sharpness = torch.ones((), dtype=outputs.dtype, requires_grad=True)
    bias = torch.zeros(outputs.shape[1], dtype=outputs.dtype, requires_grad=True)
    if not len(labels):
        return sharpness.detach(), bias.detach()
    solver = torch.optim.LBFGS(
        [sharpness, bias],
        max_iter=500,
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def off() -> Tensor:
        solver.zero_grad()
        far = (sharpness - 1).square() + bias.square().sum()
        loss = cross_entropy(sharpness * outputs + bias, labels) + RIDGE / 2 * far
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        solver.step(off)  # type: ignore[no-untyped-call]
    return sharpness.detach(), bias.detach()


def shares_of_target(said: Tensor, source: Tensor) -> Tensor:
    """Return the maximum likelihood estimate of the target's class shares, (classes,).

    It is found by expectation maximisation (Saerens et al. 2002, equation 2.9): predictions are
    reweighted from the source's shares to the current target shares, and their mean is the next
    estimate.

    Args:
        said: calibrated probabilities on the target, (n, classes).
        source: class shares among the examples used for calibration, (classes,).
    """
    found = source
    for _ in range(ROUNDS):
        before, moved = found, said * torch.where(source > 0, found / source, 0.0)
        found = (moved / moved.sum(1, keepdim=True).clamp_min(1e-300)).mean(0)
        if (found - before).abs().max() < STILL:
            break
    return found


class LabelShiftEm(LabelShift):
    """Move a source model's predictions to the target's shares of classes (EM of Saerens).

    The model is calibrated on a fifth of the source that it was not trained on; the class shares of
    that fifth count as the source's. No weight changes after training: only the predictions are
    corrected. The target's shares are estimated on all unlabelled inputs together.

    Formula:
        p(y|x) ~ (q_y / p_y)^s softmax(z / T + b)_y;  T, b by likelihood on a fifth of the source;
        q = mean over the target of (q / p) softmax(z / T + b), normalised, until it stands still
    Try it:
        where the target has the source's classes in other shares, and each class looks the same in
        both domains; the cheapest correction there is
    Cost:
        that of `source_only`, and one pass over source and unlabelled inputs; nothing at
        prediction
    Source:
        Saerens, Latinne & Decaestecker 2002, Neural Computation 14, equation 2.9; calibration as in
        Alexandari, Kundaje & Shrikumar 2020, ICML, arXiv 1901.06852, section 3.2

    Args:
        strength: s, the power of the ratio of shares, from 0 to 1.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    transfers = "parameters"
    also_called = ("saerens", "maximum_likelihood_label_shift", "mlls")
    badges = ("formula_exact", "trajectory_exact")

    def build(self, sizes: Sizes) -> None:
        super().build(sizes)
        self.register_buffer("sharpness", torch.ones(()))
        self.register_buffer("moved", torch.zeros(self.task.outputs))

    def phases(self) -> list[Phase]:
        if not self.strength:
            return [Phase("source", [self.learning()], reads=["source"])]
        return [
            Phase("source", [self.learning()], reads=["source"], before=self.hold_out),
            Phase("move", reads=["source", "unlabelled"], before=self.move),
        ]

    def move(self, data: Data) -> None:
        """Calibrate the predictions, and estimate the target's class shares."""
        outputs, labels, target = self.measured(data)
        sharpness, bias = calibration(outputs, labels)
        given = self.scaffold.get_buffer("given").cpu()
        found = shares_of_target((sharpness * target + bias).softmax(1), given)
        ratio = torch.where(given > 0, found / given, 1.0).clamp_min(1e-12).log()
        self.scaffold.get_buffer("found").copy_(found)
        self.get_buffer("sharpness").copy_(sharpness)
        self.get_buffer("moved").copy_(bias + self.strength * ratio)

    def predict(self, inputs: Inputs) -> Tensor:
        outputs = super().predict(inputs)
        return outputs * self.get_buffer("sharpness") + self.get_buffer("moved")
