"""A bilinear map between features and class descriptions, in closed form."""

import itertools

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from transfergrid.records.seeds import generator
from transfergrid.strategies import Data, Positive
from transfergrid.strategies.no_examples.described import ByDescription, seen

GRID = tuple(10.0**power for power in range(-3, 4))
"""Values of each penalty to choose from."""
HELD, FEWEST = 5, 4
"""One in HELD source classes is held out to choose penalties; none of fewer than FEWEST."""


def bilinear(
    features: Tensor, answers: Tensor, described: Tensor, gamma: float, lam: float
) -> Tensor:
    """Return the V that minimises |X V S - Y|² + γ|V S|² + λ|X V|² + γλ|V|², (dim, d).

    Args:
        features: X, (n, dim).
        answers: Y, (n, classes), 1 for an example's class and -1 for others.
        described: S', (classes, d).
        gamma: γ.
        lam: λ.
    """
    left = features.T @ features
    right = described.T @ described
    middle = features.T @ answers @ described
    left = left + gamma * torch.eye(len(left), dtype=left.dtype, device=left.device)
    right = right + lam * torch.eye(len(right), dtype=right.dtype, device=right.device)
    solved: Tensor = torch.linalg.solve(right, torch.linalg.solve(left, middle).T)
    return solved.T


def signs(labels: Tensor, classes: int) -> Tensor:
    """Return 1 for the class of an example and -1 for others, (n, classes)."""
    return 2.0 * one_hot(labels, classes).double() - 1.0


class ESZSL(ByDescription):
    """ESZSL: what descriptions score features by is one linear system.

    A penalty that is not given is chosen on held-out classes of the source, a fifth of them but at
    least two: by the mean accuracy over these classes, told apart by descriptions alone; of ties
    the weaker penalties win. The target plays no part in it. With fewer than four classes none is
    held out, and a penalty that is not given is 1.

    Formula:
        scores x' V S, least |X' V S - Y|² + γ|V S|² + λ|X' V|² + γλ|V|², Y of 1 and -1

    Try it:
        First of all, where classes are described by numbers: it takes a second.

    Cost:
        One linear system; 49 more where both penalties are chosen.

    Source:
        Romera-Paredes & Torr 2015, An embarrassingly simple approach to zero-shot learning, ICML,
        section 3.1

    Args:
        gamma: γ, penalty on the mapped descriptions; null: chosen on held-out classes.
        lam: λ, penalty on the mapped features; null: chosen on held-out classes.
    """

    optional = ("gamma", "lam")
    also_called = ("embarrassingly_simple_zero_shot_learning",)
    badges = ("formula_exact",)

    def __init__(self, gamma: Positive | None = None, lam: Positive | None = None) -> None:
        super().__init__()
        self.gamma, self.lam = gamma, lam

    def solve(self, data: Data) -> None:
        features, labels, known, asked = seen(data)
        gamma, lam = self._penalties(features, labels, known)
        found = bilinear(features, signs(labels, len(known)), known, gamma, lam)
        self.task.fill(self.head, (asked @ found.T), torch.zeros(len(asked), dtype=found.dtype))

    def _penalties(self, features: Tensor, labels: Tensor, known: Tensor) -> tuple[float, float]:
        """Return both penalties, those not given chosen on held-out classes."""
        gammas = GRID if self.gamma is None else (self.gamma,)
        lams = GRID if self.lam is None else (self.lam,)
        chosen = (self.gamma or 1.0), (self.lam or 1.0)
        if len(gammas) * len(lams) == 1 or len(known) < FEWEST:
            return chosen
        order = generator(self.block_seed, "held-out classes").permutation(len(known))
        held = torch.from_numpy(order[: max(2, len(known) // HELD)]).to(labels)
        kept = torch.from_numpy(order[max(2, len(known) // HELD) :]).to(labels)
        place = torch.full((len(known),), -1, dtype=labels.dtype, device=labels.device)
        place[kept] = torch.arange(len(kept), dtype=labels.dtype, device=labels.device)
        own = place[labels] >= 0
        answers = signs(place[labels[own]], len(kept))
        best = -1.0
        for gamma, lam in itertools.product(gammas, lams):
            found = bilinear(features[own], answers, known[kept], gamma, lam)
            said = held[(features[~own] @ found @ known[held].T).argmax(1)]
            hits = [said[labels[~own] == name] == name for name in held if (labels == name).any()]
            right = sum(hit.double().mean().item() for hit in hits) / len(hits) if hits else -1.0
            if right > best:
                best, chosen = right, (gamma, lam)
        return chosen
