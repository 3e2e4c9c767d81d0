"""What shallow adaptation shares: features of two domains that stand still, and a linear head."""

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
    """Features by the source as it stands, in float64, and what is known of them.

    Attributes:
        source: (n, d).
        source_labels: (n,) of classes, or numbers (n, ...).
        target: (m, d), those without labels; none where the strategy asks for none.
        labelled: (k, d), the target's with labels; none at `labels=0`.
        labels: (k,) or (k, ...).
    """

    source: Floats
    source_labels: NDArray[Any]
    target: Floats
    labelled: Floats
    labels: NDArray[Any]

    @property
    def pooled_labels(self) -> NDArray[Any]:
        """(n + k, ...) of the source's examples and then of the target's."""
        return np.concatenate([self.source_labels, self.labels])

    def pooled(self, moved: Floats | None = None) -> Floats:
        """Return features of the source, or what became of them, and then the target's labelled."""
        return np.vstack([self.source if moved is None else moved, self.labelled])


def frozen(data: Data) -> Frozen:
    """Return what a phase's data hold, on the CPU."""
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
    """Return the root of the mean squared distance of rows (n, d) from their mean; 1 for none."""
    return float(np.sqrt(features.var(axis=0).sum())) or 1.0


def linear_head(
    task: Task, features: Floats, labels: NDArray[Any], c: float, counts: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return weights (outputs, d) and biases (outputs,) of the best linear map.

    Least is c times the sum of losses plus |w|^2 / 2, the bias free: logistic regression, and for
    numbers ridge, whose loss is half the squared error. Features count divided by one number, the
    root of their mean squared distance from their mean, so that a c means the same whatever their
    unit.

    Args:
        task: says which.
        features: (n, d).
        labels: (n,) of classes, or numbers (n, ...).
        c: inverse strength of the penalty.
        counts: (n,) how often each example counts; None: once.
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
    """Return weights (outputs, d) and intercepts of ridge, a sum over rows that may count unevenly.

    Args:
        features: (n, d).
        numbers: (n, outputs).
        penalty: of the weights' squares; the intercept has none.
        counts: (n,), from 0; None: once each.
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
    """What it tells, once it is solved, by name: numbers, noted by `note`."""

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
        """Find what adapts, and set the head."""
        self.adapt(frozen(data))

    @abstractmethod
    def adapt(self, seen: Frozen) -> None:
        """Set the head, and whatever else `predict` uses."""

    def draws(self, name: str) -> np.random.Generator:
        """Return what draws at random, fixed by seed block and name.

        Torch's own generator would not do: reading features that are not kept yet moves it on.
        """
        return generator(self.block_seed, "shallow", name)

    def note(self, **found: float) -> None:
        """Keep what was found of what it `finds`."""
        for name, value in found.items():
            self.scaffold.get_buffer("found")[self.finds.index(name)] = value

    def tells(self) -> dict[str, Any]:
        found = self.scaffold.get_buffer("found").tolist()
        return dict(zip(self.finds, found, strict=True))

    def put(self, weights: Floats, biases: Floats) -> None:
        """Let the head be this linear map, weights (outputs, d) and biases (outputs,)."""
        self.task.fill(self.head, torch.from_numpy(weights), torch.from_numpy(biases))
