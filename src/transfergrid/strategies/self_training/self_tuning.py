"""Contrast groups of labelled and pseudo-labelled examples with each other (Self-Tuning)."""

from typing import Any

from torch import Tensor

from transfergrid.strategies import (
    Baselines,
    Batch,
    Count,
    Needs,
    NotNegative,
    Positive,
    Range,
    Share,
    Sizes,
    rates,
)
from transfergrid.strategies.contrasts import ClassContrasts
from transfergrid.strategies.draws import same_draws


class SelfTuning(ClassContrasts):
    """Fine-tune, and contrast groups of labelled and pseudo-labelled examples with each other.

    Keys come from a second network that follows the first one slowly, applied to another augmented
    view of the same examples; for unlabelled examples that is the strongly augmented view. All keys
    of a class, by label or pseudo label, are in one queue, which begins as noise. A query's pseudo
    label is its most probable class, however unsure. Labelled and unlabelled queries use the queues
    from before the step's keys join them, and the second network is updated once a step; in the
    authors' library unlabelled queries meet the step's labelled keys, and the second network is
    updated twice. BatchNorm does not record unlabelled inputs, so that `weight` 0 is exactly full
    fine-tuning. Projections are of the backbone's features, without the library's bottleneck.

    Formula:
        CE(target) + lambda (PGC(target) + PGC(unlabelled)), PGC the batch mean of
        KL(1 / (K + 1) for the keys of the class || softmax(similarity / T))
    Try it:
        with few labels and many unlabelled inputs, where pseudo labels alone would make the model
        confident in its own mistakes; here a wrong pseudo label is diluted by its group
    Cost:
        two to three more passes a step, of either network; memory of both, and of queues of size
        classes times K times the projection; that of full fine-tuning at prediction
    Source:
        Wang, Gao, Long & Wang 2021, Self-tuning for data-efficient deep learning, ICML, arXiv
        2102.12903, section 3; values as in the authors' library

    Args:
        weight: lambda, of both contrasts; 0 is full fine-tuning.
        temperature: T, divides similarities.
        queue: K, keys per class.
        momentum: share of its own weights that the second network keeps at each step.
        projection: width of the projections that are contrasted with each other.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    also_called = ("self-tuning", "pseudo_group_contrast")
    badges = ("formula_exact", "trajectory_exact")
    target_statistics = "recorded"
    reads = ("target", "again", "views")
    needs = Needs(unlabelled=True, tasks=("classification",))
    baselines = Baselines(exploratory=["full_finetuning"])
    space = {
        "lr_factor": rates(0.3, brief=0.95, small_images=1.0, images=1.0, text=0.1),
        "weight": Range(0.1, 10.0, default=1.0),
        "temperature": Range(0.02, 0.5, default=0.07),
    }

    def __init__(
        self,
        weight: NotNegative = 1.0,
        temperature: Positive = 0.07,
        queue: Count = 32,
        momentum: Share = 0.999,
        projection: Count = 1024,
        **shared: Any,
    ) -> None:
        super().__init__(weight, temperature, queue, momentum, projection, **shared)

    def build(self, sizes: Sizes) -> None:
        plan = self.training_plan.batch_size
        self.follow_with({}, min(plan, sizes.target) + min(plan, sizes.unlabelled))

    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.target
        assert seen is not None
        assert seen.again is not None
        assert batch.views is not None
        features = self.features(seen.inputs)
        fit = self.task.loss(self.head(features), seen.labels)
        if not self.weight:
            return fit
        with same_draws(self):  # what follows draws the same numbers as without these passes
            _, keys = self.keys_of(seen.again)
            others = self.features(batch.views[0], recorded=False)
            _, more = self.keys_of(batch.views[1])
        pseudo = self.head(others).argmax(1)
        contrasts = self.apart(features, keys, seen.labels)
        contrasts = contrasts + self.apart(others, more, pseudo)
        self.queues.add(seen.labels, projections=keys)
        self.queues.add(pseudo, projections=more)
        return fit + self.weight * contrasts
