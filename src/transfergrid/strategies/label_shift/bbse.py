"""Class weights from a source model's confusion matrix and its predictions on the target (BBSE)."""

from typing import Any

import torch
from torch import Tensor

from transfergrid.strategies import (
    Batch,
    Data,
    Objective,
    Part,
    Phase,
    Schedule,
    Share,
    Sizes,
    in_one_run,
)
from transfergrid.strategies.label_shift.shares import LabelShift


def weights_of_classes(said: Tensor, labels: Tensor, target: Tensor) -> tuple[Tensor, float]:
    """Return the solution w of C w = q (Lipton et al. 2018, equation 3), and C's conditioning.

    C is the joint confusion matrix: C_ij is the share of held-out source examples that have class j
    and are predicted as i. q has the shares of predicted classes on the target. Negative weights
    are set to 0. A class without held-out examples gets weight 1, as nothing is known about it.

    Args:
        said: predicted classes of held-out source examples, (n,).
        labels: their classes, (n,).
        target: q, shares of predicted classes on the target, (classes,).

    Returns:
        Weights (classes,), and the smallest singular value of C. Near 0 the system is nearly
        singular; of a singular one the least-squares solution of least norm is taken.
    """
    classes = len(target)
    joint = torch.zeros(classes, classes, dtype=target.dtype)
    joint.index_put_((said, labels), torch.ones(len(labels)).to(target), accumulate=True)
    joint /= max(len(labels), 1)
    found = (torch.linalg.pinv(joint, rtol=1e-10) @ target).clamp_min(0.0)
    smallest = float(torch.linalg.svdvals(joint)[-1])
    return torch.where(joint.sum(0) > 0, found, 1.0), smallest


class Bbse(LabelShift):
    """Re-weight source examples by the target's shares of classes, from the confusion (BBSE).

    The model of the first phase need not be accurate, but its confusion between classes must be the
    same in both domains: it is assumed that inputs of a class have the same distribution in both.

    Formula:
        CE(source), then mean of w_y CE(source); C w = q, C_ij = share(said i, is j) on a fifth of
        the source held out of the first phase, q_i = share(said i) on the target; w from 0 on
    Try it:
        where the target has the source's classes in other shares, and each class looks the same in
        both domains; in partial pairs it finds the classes that are absent
    Cost:
        that of `source_only`, and one pass over source and unlabelled inputs
    Source:
        Lipton, Wang & Smola 2018, Detecting and Correcting for Label Shift with Black Box
        Predictors, ICML, arXiv 1802.03916, equation 3 and section 4; strength as gamma of
        Azizzadenesheli et al. 2019, arXiv 1903.09734

    Args:
        strength: s of the weights 1 + s (w - 1), from 0 to 1.
        share: share of the steps after which classes are weighted.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    transfers = "instances"
    also_called = ("black_box_shift_estimation", "label_shift")
    badges = ("formula_exact", "trajectory_exact")
    version = 2  # version 1 scaled clipped weights to a mean of 1

    def __init__(
        self,
        strength: Share = 1.0,
        share: Part = 0.5,
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(strength=strength, schedule=schedule, **shared)
        self.share = share

    def build(self, sizes: Sizes) -> None:
        super().build(sizes)
        self.scaffold.register_buffer("weights", torch.ones(self.task.outputs))
        self.scaffold.register_buffer("posed", torch.zeros((), dtype=torch.float64))

    def phases(self) -> list[Phase]:
        if not self.strength:
            return [Phase("source", [self.learning()], reads=["source"])]
        weighted = Objective(self.on_weighted, self.everything())
        both = [
            Phase("source", [self.learning()], self.share, ["source"], self.hold_out),
            Phase("weighted", [weighted], 1 - self.share, ["source", "unlabelled"], self.weigh),
        ]
        return in_one_run(both, self.shared_schedule)

    def weigh(self, data: Data) -> None:
        """Compute the class weights."""
        outputs, labels, target = self.measured(data)
        said = target.argmax(1).bincount(minlength=self.task.outputs).double()
        found, smallest = weights_of_classes(outputs.argmax(1), labels, said / said.sum())
        kept = self.scaffold.get_buffer
        kept("found").copy_(found.to(kept("given")) * kept("given"))
        kept("weights").copy_(1 + self.strength * (found - 1))
        kept("posed").fill_(smallest)

    def on_weighted(self, batch: Batch, progress: float) -> Tensor:
        """Return the batch mean of each example's loss times its class weight."""
        seen, total = batch.source[0], 0.0
        outputs, weights = self.predict(seen.inputs), self.scaffold.get_buffer("weights")
        for k in seen.labels.unique():  # type: ignore[no-untyped-call]
            own = seen.labels == k
            share = own.sum() / len(own)
            total = total + weights[k] * share * self.task.loss(outputs[own], seen.labels[own])
        return torch.as_tensor(total)

    def tells(self) -> dict[str, Any]:
        told, posed = super().tells(), float(self.scaffold.get_buffer("posed"))
        return {**told, "smallest_singular_value": posed} if told else {}
