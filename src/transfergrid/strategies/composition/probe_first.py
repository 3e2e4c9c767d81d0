"""A head that is initialised as a logistic probe of the source's features."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.records.metrics import CLASSES
from transfergrid.records.needs import Needs
from transfergrid.sources.backbone import evaluating
from transfergrid.strategies.closed_form.softmax_regression import logistic_head
from transfergrid.strategies.composition.additions import Addition, Composed, own_learners, refusal
from transfergrid.strategies.phases import Data, Phase


class ProbedHead(Addition):
    """Initialise the head as a logistic probe of the source's features, instead of at random.

    The value is the probe's C, scikit-learn's inverse strength of the penalty. The probe is solved
    to its optimum and takes no step. It is fitted just before the first phase in which the head
    learns, on the features of that moment (Kumar et al. 2022, section 3.4, from the converged
    probe).
    """

    key = "probe_first"

    @override
    def why_not(self, needs: Needs) -> str:
        if needs.target_labels != "required":
            return "the strategy can do without target labels"
        if not needs.has_network or needs.source == "architecture":
            return "there are no features of a source to probe"
        return ""

    def prepare(self, strategy: Composed, value: float) -> None:
        """Check that the head can be a logistic probe.

        Raises:
            ImpossibleError: labels are numbers; or the head does not learn, or is no linear layer
                on the plain features.
        """
        if strategy.task.kind != CLASSES:
            raise refusal(self.key, "it is for classes, and labels here are numbers")
        weight = getattr(strategy.head, "weight", None)
        width = strategy.backbone.dim
        if not isinstance(weight, Tensor) or weight.shape != (strategy.task.outputs, width):
            raise refusal(self.key, "the head is no linear layer on the features alone")
        if not {id(p) for p in strategy.head.parameters()} & own_learners(strategy):
            raise refusal(self.key, "the head does not learn")
        if not _is_on_features(strategy):
            raise refusal(self.key, "the head is on something else than the source's features")

    def phases(self, strategy: Composed, value: float, phases: list[Phase]) -> list[Phase]:
        """Return the phases with the probe before the first phase that trains the head."""
        head = {id(p) for p in strategy.head.parameters()}
        trains = [
            phase.counts == "steps"
            and bool({id(p) for group in phase.learning() for p in group.parameters} & head)
            for phase in phases
        ]
        first = trains.index(True)
        probe = Phase("probe first", before=partial(_fit, strategy, value))
        return [*phases[:first], probe, *phases[first:]]


def _is_on_features(strategy: Composed) -> bool:
    """Return whether `predict` equals the head on the features, tried on one example."""
    assert isinstance(strategy, nn.Module)
    example = strategy.backbone.example()
    inputs = torch.rand_like(example) if isinstance(example, Tensor) else example
    with evaluating(strategy), torch.no_grad():
        said = strategy.head(strategy.features(inputs))
        return torch.allclose(strategy.predict(inputs), said)


def _fit(strategy: Composed, c: float, data: Data) -> None:
    assert data.target is not None
    features = data.target.features().cpu().double().numpy()
    labels = data.target.labels.cpu().numpy()
    weights, biases = logistic_head(features, labels, strategy.task.outputs, c)
    strategy.task.fill(strategy.head, torch.from_numpy(weights), torch.from_numpy(biases))
