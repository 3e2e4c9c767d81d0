"""The base class of shallow adaptation: frozen features of two domains, and a linear head."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from transfergrid.data.task import Task
from transfergrid.records.metrics import CLASSES
from transfergrid.records.needs import Setting, Transferred
from transfergrid.records.seeds import generator
from transfergrid.strategies import (
    Baselines,
    Data,
    Needs,
    Phase,
    Positive,
    Range,
    Sizes,
    Strategy,
    StreamName,
)
from transfergrid.strategies.closed_form.softmax_regression import Floats, logistic_head

SHALLOW = Needs("weights", "optional", 1, "same", unlabelled=True, steps=False)
COMPARED = Baselines("source_and_target", "source_only", ["source_probe", "logistic_probe"])
C = Range(1e-3, 1e3, default=1.0)


@dataclass(frozen=True)
class Frozen:
    """Features of all streams by the frozen source, in float64, and their labels.

    Attributes:
        source: features of the source domain, (n, d).
        source_labels: its class indices (n,), or numbers (n, ...).
        target: features of unlabelled target inputs, (m, d); no rows where the strategy uses none.
        labelled: features of labelled target inputs, (k, d); no rows at `labels=0`.
        labels: their labels, (k,) or (k, ...).
    """

    source: Floats
    source_labels: NDArray[Any]
    target: Floats
    labelled: Floats
    labels: NDArray[Any]

    @property
    def pooled_labels(self) -> NDArray[Any]:
        """Labels of the source's examples and then of the target's, (n + k, ...)."""
        return np.concatenate([self.source_labels, self.labels])

    def pooled(self, moved: Floats | None = None) -> Floats:
        """Return features of the source, or `moved` instead, and then of the labelled target."""
        return np.vstack([self.source if moved is None else moved, self.labelled])


def frozen(data: Data) -> Frozen:
    """Return the features and labels of a phase's data, on the CPU."""
    (source,) = data.source
    features, labels = source.features().cpu().double().numpy(), source.labels.cpu().numpy()
    own, others = data.target, data.unlabelled
    return Frozen(
        features,
        labels,
        features[:0] if others is None else others.features().cpu().double().numpy(),
        features[:0] if own is None else own.features().cpu().double().numpy(),
        labels[:0] if own is None else own.labels.cpu().numpy(),
    )


def spread(features: Floats) -> float:
    """Return the root mean square distance of rows (n, d) from their mean; 1 where that is 0."""
    return float(np.sqrt(features.var(axis=0).sum())) or 1.0


def linear_head(
    task: Task, features: Floats, labels: NDArray[Any], c: float, counts: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return weights (outputs, d) and biases (outputs,) of the optimal linear head.

    It minimises c times the sum of losses plus |w|^2 / 2; the bias is not penalised. For classes
    this is logistic regression, for numbers ridge, whose loss is half the squared error. Inside the
    problem features are divided by their `spread`, so that c means the same whatever their unit.
    The result is for features as they are.

    Args:
        task: says whether labels are classes or numbers.
        features: (n, d).
        labels: class indices (n,), or numbers (n, ...).
        c: inverse strength of the penalty.
        counts: weight of each example in the sum, (n,); None: 1 each.
    """
    scale = spread(features)
    if task.kind == CLASSES:
        told = logistic_head(features / scale, labels, task.outputs, c, counts=counts)
    else:
        numbers = labels.reshape(len(labels), -1).astype(np.float64)
        told = ridge_head(features / scale, numbers, 1 / c, counts)
    return told[0] / scale, told[1]


def ridge_head(
    features: Floats, numbers: Floats, penalty: float, counts: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return weights (outputs, d) and intercepts (outputs,) of a weighted ridge regression.

    Args:
        features: (n, d).
        numbers: labels, (n, outputs).
        penalty: factor on the sum of squared weights; the intercept is not penalised.
        counts: weight of each example in the sum, (n,), at least 0; None: 1 each.
    """
    counts = np.ones(len(features)) if counts is None else counts
    centre: Floats = np.average(features, axis=0, weights=counts)
    middle: Floats = np.average(numbers, axis=0, weights=counts)
    root = np.sqrt(counts)[:, None]
    rows, sides = root * (features - centre), root * (numbers - middle)
    inner = rows.T @ rows + penalty * np.eye(features.shape[1])
    weights: Floats = np.asarray(np.linalg.solve(inner, rows.T @ sides).T, dtype=np.float64)
    return weights, middle - weights @ centre


class OnFrozenFeatures(Strategy):
    """A linear head on features that stand still, fitted to the source's labels and the target's.

    Args:
        c: C of the head, the inverse strength of its penalty.
    """

    needs, baselines = SHALLOW, COMPARED
    space = {"c": C}
    setting: ClassVar[Setting] = "transductive"
    transfers: ClassVar[Transferred] = "features"
    target_statistics = "unseen"
    finds: ClassVar[tuple[str, ...]] = ()
    """Names of the numbers that it tells in the record; `note` stores them."""

    def __init__(self, c: Positive = 1.0) -> None:
        super().__init__()
        self.c = c

    def build(self, sizes: Sizes) -> None:
        nothing = torch.zeros(len(self.finds), dtype=torch.float64)
        self.scaffold.register_buffer("found", nothing)

    def phases(self) -> list[Phase]:
        reads: list[StreamName] = ["source"]
        reads += ["target"] if self.needs.target_labels != "unused" else []
        reads += ["unlabelled"] if self.needs.unlabelled else []
        return [Phase("solve", reads=reads, before=self.solve)]

    def solve(self, data: Data) -> None:
        """Adapt to the data of the phase, and set the head."""
        self.adapt(frozen(data))

    @abstractmethod
    def adapt(self, seen: Frozen) -> None:
        """Set the head, and whatever else `predict` uses, from these features and labels."""

    def draws(self, name: str) -> np.random.Generator:
        """Return a random generator, fixed by seed block and name.

        Torch's global generator would not do: computing features that are not cached advances it.
        """
        return generator(self.block_seed, "shallow", name)

    def note(self, **found: float) -> None:
        """Store values of numbers named in `finds`, for the record."""
        for name, value in found.items():
            self.scaffold.get_buffer("found")[self.finds.index(name)] = value

    def tells(self) -> dict[str, Any]:
        found = self.scaffold.get_buffer("found").tolist()
        return dict(zip(self.finds, found, strict=True))

    def put(self, weights: Floats, biases: Floats) -> None:
        """Set the head to a linear map with weights (outputs, d) and biases (outputs,)."""
        self.task.fill(self.head, torch.from_numpy(weights), torch.from_numpy(biases))
