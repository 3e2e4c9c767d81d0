"""Which labels of a pool a seed block may see: nested, balanced or natural, with validation.

The rules are those under "small budgets" of the project's science notes. With fewer than ten labels
per class there is no validation part; otherwise a stratified fifth *of the given labels* validates.
Numbers have no classes: the pool, sorted by the number, is divided into ten tenths, and a budget
counts labels in total, drawn from each tenth in turn. From fifty labels on (five per tenth) every
fifth label of a tenth validates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.domain import SAMPLINGS
from transfergrid.data.examples import Labels
from transfergrid.data.numbers import TENTHS, first_of, tenths
from transfergrid.data.rounds import Rounds
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.seeds import generator
from transfergrid.records.training import VALIDATION_FROM

Indices = NDArray[np.int64]

VALIDATION_EVERY = 5
"""In each class, or tenth of numbers, every fifth label in the seeded order validates."""
NUMBERS_FROM = TENTHS * VALIDATION_EVERY
"""With numbers as labels: the smallest total budget that has a validation part."""


@dataclass(frozen=True)
class Draw:
    """The parts of a pool that one seed block uses, as sorted indices into the pool.

    Attributes:
        train: labelled examples to learn from.
        validation: labelled examples for model selection; disjoint from `train`.
        unlabelled: everything but `validation`, for strategies that learn without labels; where
            there are groups, everything but the groups that validate.
        per_class: class index (as text, for JSON) to the number of labels drawn, both parts
            together; empty if the labels are numbers.
        short: where the pool had too few labels: class index to (asked, got); under natural
            sampling and with numbers the only key is "all".
        no_validation: the reason why there is no validation part although there are enough
            labels; None otherwise.
        judges: the part of `validation` that is really used, sorted; None: all of it.
    """

    train: Indices
    validation: Indices
    unlabelled: Indices
    per_class: dict[str, int]
    short: dict[str, tuple[int, int]]
    no_validation: str | None = None
    judges: Indices | None = None

    @property
    def judging(self) -> Indices:
        """The validation examples that are really used for model selection."""
        return self.validation if self.judges is None else self.judges


def draw(
    labels: Labels,
    n_classes: int,
    budget: int | Literal["all"],
    seed: int,
    sampling: str = "balanced",
    groups: NDArray[np.str_] | None = None,
) -> Draw:
    """Draw a label budget from a pool; with the same seed, smaller budgets are subsets of larger.

    With groups (patients, speakers, authors) a fifth of the groups validates, each as a whole.

    Args:
        labels: (n,) class index of every pool example, or its numbers (n,) or (n, outputs); the
            first output alone decides an example's tenth.
        n_classes: how many classes there are, whether or not the pool has examples of them; 0 if
            the labels are numbers.
        budget: labels per class, or in total if they are numbers; "all" takes the whole pool.
        seed: of the seed block.
        sampling: "balanced" takes `budget` examples of each class, "natural" draws
            `budget * n_classes` examples uniformly. Both take `budget` numbers in total:
            "balanced" from each tenth in turn, "natural" uniformly.
        groups: (n,) the group of each example, if they have any.

    Raises:
        BadInputError: the budget or the sampling is not one of these.
    """
    check_budget(budget)
    check_known("sampling", sampling, SAMPLINGS)
    if labels.dtype.kind == "f":
        return _drawn_of_numbers(tenths(first_of(labels)), budget, seed, sampling, groups)
    rank = _ranks(labels, n_classes, seed, sampling)
    if groups is None:
        position = _positions_in_class(labels, n_classes, rank)
        may_validate = position % VALIDATION_EVERY == VALIDATION_EVERY - 1
    else:
        may_validate = np.isin(groups, _validating_groups(labels, groups, seed))
        if sampling == "balanced":
            rank = _interleaved(labels, n_classes, rank, may_validate)
    chosen, short = _chosen(labels, n_classes, budget, rank, sampling)
    enough = _validates(len(labels), n_classes, budget)
    if not enough:
        may_validate = np.zeros(len(labels), dtype=bool)
    validates = chosen & may_validate
    return Draw(
        train=np.flatnonzero(chosen & ~validates),
        validation=np.flatnonzero(validates),
        unlabelled=np.flatnonzero(~(validates if groups is None else may_validate)),
        per_class={str(c): int(np.sum(chosen & (labels == c))) for c in range(n_classes)},
        short=short,
        no_validation=_why_none(may_validate) if enough and not validates.any() else None,
    )


def _drawn_of_numbers(
    parts: Indices,
    budget: int | Literal["all"],
    seed: int,
    sampling: str,
    groups: NDArray[np.str_] | None,
) -> Draw:
    """See `draw`; `parts` (n,) is the tenth that each label is in."""
    n, one = len(parts), np.zeros(len(parts), dtype=np.int64)
    rank = _ranks(parts, TENTHS, seed, sampling)
    if groups is None:
        position = _positions_in_class(parts, TENTHS, rank)
        may_validate = position % VALIDATION_EVERY == VALIDATION_EVERY - 1
    else:
        may_validate = np.isin(groups, _validating_groups(one, groups, seed))
        if sampling == "balanced":
            rank = _interleaved(parts, TENTHS, rank, may_validate)
    if sampling == "balanced":
        rank = _in_turn(parts, rank, seed)
    chosen = rank < (n if budget == "all" else budget)
    enough = n >= NUMBERS_FROM and (budget == "all" or budget >= NUMBERS_FROM)
    may_validate &= enough
    validates = chosen & may_validate
    return Draw(
        train=np.flatnonzero(chosen & ~validates),
        validation=np.flatnonzero(validates),
        unlabelled=np.flatnonzero(~(validates if groups is None else may_validate)),
        per_class={},
        short={"all": (int(budget), n)} if budget != "all" and budget > n else {},
        no_validation=_why_none(may_validate) if enough and not validates.any() else None,
    )


def draw_episode(rounds: Rounds, shots: int | Literal["all"]) -> Draw:
    """Return the labels of the first episode, without a validation and an unlabelled part.

    Args:
        rounds: where the episodes lie.
        shots: labels per class, or "all" that an episode offers.

    Raises:
        BadInputError: `shots` is not a possible budget.
    """
    check_budget(shots)
    train, none = rounds.support(0, shots), np.empty(0, dtype=np.int64)
    each = len(train) // rounds.ways
    return Draw(
        train=train,
        validation=none,
        unlabelled=none,
        per_class={str(way): each for way in range(rounds.ways)},
        short={} if shots in ("all", each) else {"all": (int(shots), each)},
        no_validation="an episode holds no labels back",
    )


def some_of(labels: Labels, indices: Indices, most: int, seed: int) -> Indices:
    """Return at most `most` of these indices, chosen by seed and stratified by class.

    Each class that occurs keeps at least one example, if `most` allows. Numbers are stratified by
    the tenths of their order. A smaller choice is a subset of a larger one.

    Args:
        labels: (n,) class index of every example, or its numbers (n,) or (n, outputs).
        indices: the examples to choose from, sorted.
        most: the largest number to return, at least 1.
        seed: of the seed block.
    """
    if len(indices) <= most:
        return indices
    own = labels[indices]
    parts = tenths(first_of(own)) if own.dtype.kind == "f" else own
    turn, tie = np.empty(len(own)), generator(seed, "labels", "judges").permutation(len(own))
    for part in np.unique(parts):
        members = np.flatnonzero(parts == part)
        place = generator(seed, "labels", "judges", int(part)).permutation(len(members))
        turn[members] = np.where(place == 0, -1.0, (place + 0.5) / len(members))
    first = np.lexsort((tie, turn))[:most]
    return np.asarray(indices[np.sort(first)])


def _in_turn(parts: Indices, rank: Indices, seed: int) -> Indices:
    """Return each example's place (n,) in one order over all parts.

    The order takes one example of each part per round; each round visits the parts in another
    seeded order.

    Args:
        parts: (n,) the part that each example is in.
        rank: (n,) its place in the seeded order of its part.
        seed: of the seed block.
    """
    rng = generator(seed, "labels", "turns")
    turns = np.stack([rng.permutation(TENTHS) for _ in range(int(rank.max(initial=0)) + 1)])
    place = np.empty(len(parts), dtype=np.int64)
    place[np.argsort(rank * TENTHS + turns[rank, parts])] = np.arange(len(parts))
    return place


def _why_none(may_validate: NDArray[np.bool_]) -> str:
    """Return the reason why no label validates although there are enough, as only with groups."""
    if may_validate.any():
        return "none of the labels drawn is in a group that may validate"
    return "each group is all there is of some class"


def check_budget(budget: object) -> None:
    """Raise `BadInputError` unless this is "all" or a number of labels: an integer from 0 on."""
    whole = isinstance(budget, (int, np.integer)) and not isinstance(budget, bool)
    if not (budget == "all" or (whole and int(budget) >= 0)):  # type: ignore[call-overload]
        raise BadInputError(f"labels must be 0, a number of labels a class, or all, not {budget!r}")


def _ranks(labels: Indices, n_classes: int, seed: int, sampling: str) -> Indices:
    """Return each example's place (n,) in the seeded order; comparable within a class.

    Balanced sampling has a random stream per class, so that the size of one class does not change
    the choice in another. Natural sampling needs one order over all classes.
    """
    if sampling == "natural":
        return generator(seed, "labels", "natural").permutation(len(labels))
    rank = np.zeros(len(labels), dtype=np.int64)
    for c in range(n_classes):
        members = np.flatnonzero(labels == c)
        rank[members] = generator(seed, "labels", "balanced", c).permutation(len(members))
    return rank


def _chosen(
    labels: Indices, n_classes: int, budget: int | Literal["all"], rank: Indices, sampling: str
) -> tuple[NDArray[np.bool_], dict[str, tuple[int, int]]]:
    """Return which examples (n,) are labelled, and `Draw.short`: where labels were too few."""
    if budget == "all":
        return np.ones(len(labels), dtype=bool), {}
    if sampling == "natural":
        asked = budget * n_classes
        short = {"all": (asked, len(labels))} if asked > len(labels) else {}
        return rank < asked, short
    sizes = np.bincount(labels, minlength=n_classes)
    short = {str(c): (int(budget), int(n)) for c, n in enumerate(sizes) if n < budget}
    return rank < budget, short


def _positions_in_class(labels: Indices, n_classes: int, rank: Indices) -> Indices:
    """Return how many of the same class come before each example (n,) in the seeded order."""
    position = np.zeros(len(labels), dtype=np.int64)
    for c in range(n_classes):
        members = np.flatnonzero(labels == c)
        position[members[np.argsort(rank[members])]] = np.arange(len(members))
    return position


def _validating_groups(labels: Indices, groups: NDArray[np.str_], seed: int) -> list[str]:
    """Return a fifth of the groups, but at least one, chosen by seed and the same for all budgets.

    A group never validates if some class would have no example left to learn from; so there may
    be fewer groups, or none.
    """
    names, group = np.unique(groups, return_inverse=True)
    size = len(names), int(labels.max()) + 1
    counts = np.bincount(group * size[1] + labels, minlength=size[0] * size[1]).reshape(size)
    left = counts.sum(axis=0)
    validating: list[str] = []
    order = generator(seed, "labels", "groups").permutation(names)
    for name, count in zip(order, counts[np.searchsorted(names, order)], strict=True):
        spared = (left > count) | (count == 0)
        if len(validating) < max(1, len(names) // VALIDATION_EVERY) and bool(spared.all()):
            validating.append(str(name))
            left = left - count
    return validating


def _interleaved(
    labels: Indices, n_classes: int, rank: Indices, validates: NDArray[np.bool_]
) -> Indices:
    """Return new ranks: every fifth example of a class is one that may validate, if any is left."""
    new = np.empty_like(rank)
    for c in range(n_classes):
        members = np.flatnonzero(labels == c)
        ordered = members[np.argsort(rank[members])]
        second = ordered[validates[ordered]]
        first = ordered[~validates[ordered]]
        wish_second = VALIDATION_EVERY * np.arange(1, len(second) + 1) - 1.0
        turns = np.arange(len(first))
        wish_first = turns + turns // (VALIDATION_EVERY - 1) + 0.5
        order = np.argsort(np.concatenate([wish_first, wish_second]), kind="stable")
        new[np.concatenate([first, second])[order]] = np.arange(len(members))
    return new


def _validates(n: int, n_classes: int, budget: int | Literal["all"]) -> bool:
    """Return whether there are enough labels for a validation part.

    The pool's size counts as well, so that for one pool the answer is the same for all budgets
    from ten on: then the training parts are nested, and the validation parts too.
    """
    enough = n >= VALIDATION_FROM * n_classes
    return enough and (budget == "all" or budget >= VALIDATION_FROM)


def check_some_left(
    labels: NDArray[np.int64], is_test: NDArray[np.bool_], classes: Sequence[str]
) -> None:
    """Raise `BadInputError` if the test split takes all examples of a class.

    Args:
        labels: (n,) class index of every example.
        is_test: (n,) whether the example is in the test split.
        classes: the classes' names.
    """
    lost = np.setdiff1d(labels, labels[~is_test])
    if len(lost):
        count = int(np.sum(labels == lost[0]))
        examples = "the only example" if count == 1 else f"all {count} examples"
        more = f" ({len(lost)} such classes)" if len(lost) > 1 else ""
        raise BadInputError(
            f"the share to test on takes {examples} of class {classes[lost[0]]!r}{more}, and "
            "nothing is left to learn it from: leave such classes out, or name a test part yourself"
        )


def stratified_split(
    labels: NDArray[np.int64], n_second: int, seed: int, *names: str
) -> NDArray[np.bool_]:
    """Return which examples (n,) go to the second part, stratified by class.

    Exactly `n_second` do: after rounding down, the classes with the largest remainders get one
    more each; among equal remainders, the first classes.
    """
    sizes = np.bincount(labels)
    exact = sizes * n_second / len(labels)
    take = np.floor(exact).astype(np.int64)
    order = np.argsort(take - exact, kind="stable")
    take[order[: n_second - take.sum()]] += 1
    second = np.zeros(len(labels), dtype=bool)
    for c, count in enumerate(take):
        members = np.flatnonzero(labels == c)
        second[generator(seed, *names, c).permutation(members)[:count]] = True
    return second
