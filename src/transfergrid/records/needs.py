"""What a strategy needs and what it is compared with, in words that planning can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from transfergrid.records.errors import check_known
from transfergrid.records.metrics import CLASSES, CLUSTERS, ENTRIES, NUMBERS
from transfergrid.records.pairs import WORDS as PAIR_WORDS
from transfergrid.records.pairs import Word as PairWord
from transfergrid.records.space import Space

SourceNeed = Literal["none", "domain", "architecture", "start", "weights", "head"]
LabelNeed = Literal["required", "optional", "unused"]
ClassNeed = Literal["any", "same", "described", "named"]
LayerNeed = Literal["any", "batch_norm", "norm", "tokens", "some"]
Setting = Literal["inductive", "transductive", "unsupervised"]
Assumption = Literal["same_shares", "equal_shares"]
"""Of classes, what a method takes for true: as many of each in source and target, or as many of
each class in the target. Where it is not, the method may do harm, and a plan says so."""
Transferred = Literal["instances", "features", "parameters", "relations", "nothing"]
"""What of the source is carried over; `nothing` by what transfer is compared with."""
Badge = Literal["formula_exact", "trajectory_exact", "band_reproduced"]
"""What tests prove of a strategy: its loss, weights or rates are the published values; its
parameters after some steps are those of an independent loop; a score found elsewhere is met."""
Statistics = Literal["recorded", "normalised", "unseen"]
"""What BatchNorm does with target batches while a method learns.

`recorded`: they move its running statistics, by which it normalises at prediction. `normalised`:
those without labels are normalised by their own statistics, of which no note is taken. `unseen`:
they leave no trace, and none is normalised by its own.
"""
TASKS = (CLASSES, NUMBERS)
"""Kinds of target that a strategy learns unless it says others."""
_WORDS = {
    "source": SourceNeed,
    "target_labels": LabelNeed,
    "classes": ClassNeed,
    "layers": LayerNeed,
}
_SEVERAL = {"tasks": (*TASKS, CLUSTERS, ENTRIES), "pairs": PAIR_WORDS}
PAIRS: tuple[PairWord, ...] = ("closed", "partial")
_ONCE: dict[str, tuple[str, dict[bool, Any]]] = {
    "source_domain": ("domains", {True: 1, False: 0}),
    "same_classes": ("classes", {True: "same", False: "any"}),
    "training": ("steps", {True: True, False: False}),
}
"""Keys of older records: what each is called now, and its values."""


@dataclass(frozen=True)
class Needs:
    """What must be there before a cell of this strategy is possible.

    Args:
        source: `weights` of the source; these with the `head` that was trained with them; only its
            `architecture`; its `start`, the weights before the source domain was learned; its
            labelled `domain` alone, no network; or `none`.
        target_labels: `required`, `optional`, or `unused` (then all label budgets are one cell).
        domains: labelled source domains to learn from side by side: 0, 1, or 2 for two and more.
        classes: those of source domain and target: `any`, the `same` by name, or `described` by
            attributes, or `named`: those of the target told by texts.
        pairs: of which settings, where `classes` is `same`: `closed` (all classes are in both),
            `partial` (the target lacks some of the source's), `open` (the source lacks some of the
            target's, which are then told as one class more, the last). A pair that is partial and
            open needs both words.
        unlabelled: target inputs without labels.
        teacher: the source adapted to the target beforehand.
        steps: the shared steps; a closed form without them is one cell under every `training`.
        trials: a search inside the cell, of whose trials it is made.
        tasks: kinds of target that it can learn; the entries of a matrix are one by themselves,
            which no network of examples can.
        each: the weights of each of several sources by itself, with the start that all of them were
            trained from, instead of those that are trained on all.
        source_labels: whether labels of source domains are learned from; where not, they are not
            handed over, and a source without labels will do.
        ordered_by: the argument that lists the names of the source's domains in the order in which
            they are learned, and stands for the order by name where it is null; empty: they are a
            set.
        layers: what a network must have: `batch_norm`, `norm` of any kind, `tokens`, or `some` that
            `build` looks for. Where they are missing it raises `ImpossibleError`, and a grid leaves
            these cells out; with `any` it never does.

    Raises:
        BadInputError: one of them is a word that there is not.
    """

    source: SourceNeed = "weights"
    target_labels: LabelNeed = "required"
    domains: int = 0
    classes: ClassNeed = "any"
    unlabelled: bool = False
    teacher: bool = False
    steps: bool = True
    trials: bool = False
    tasks: tuple[str, ...] = TASKS
    layers: LayerNeed = "any"
    pairs: tuple[PairWord, ...] = PAIRS
    each: bool = False
    source_labels: bool = True
    ordered_by: str = ""

    def __post_init__(self) -> None:
        for name, known in _WORDS.items():
            check_known(f"needs.{name}", getattr(self, name), get_args(known))
        for name, words in _SEVERAL.items():
            for word in getattr(self, name):
                check_known(f"{name.removesuffix('s')} in needs.{name}", word, words)

    def of(self, *tasks: str) -> Needs:
        """Return the same needs for these kinds of target alone."""
        return replace(self, tasks=tasks)

    @property
    def are_plain(self) -> bool:
        """Whether source weights, target labels and the shared steps are enough.

        Not every network or kind of target need suit.
        """
        return replace(self, tasks=TASKS, layers="any", pairs=PAIRS) == Needs()

    @property
    def describes(self) -> bool:
        """Whether classes are told by descriptions, of which none needs an example."""
        return self.classes in ("described", "named")

    @property
    def are_choosy(self) -> bool:
        """Whether only the networks at hand can tell if there is what is needed."""
        return self.layers != "any" or self.source == "head"

    @property
    def has_network(self) -> bool:
        """Whether it takes a network of the source's architecture, its weights or random ones."""
        return self.source not in ("none", "domain")

    @classmethod
    def read(cls, told: Mapping[str, Any], of: str = "a strategy") -> Needs:
        """Return what a YAML or a record says; keys of older records are understood.

        Raises:
            BadInputError: a key means nothing.
        """
        values = {}
        for key, value in told.items():
            name, meaning = _ONCE.get(key, (key, {}))
            check_known(f"key of {of}'s about.needs", name, [f.name for f in fields(cls)])
            values[name] = meaning.get(value, value) if isinstance(value, bool) else value
        values |= {name: tuple(values[name]) for name in _SEVERAL if name in values}
        return cls(**values)


AT = "@"
"""Stands in the name of a baseline before the label budget that it has, where that is another."""


@dataclass(frozen=True)
class Baselines:
    """The strategies that a cell's gain is taken over, by name.

    Args:
        labelled: primary baseline where the cell has target labels; None for a reference arm.
        unlabelled: primary baseline at `labels=0`.
        exploratory: further comparisons, made where their cells exist; `prototypes@5` is the cell
            of another label budget, and a key that holds a strategy, such as "then", is that
            strategy as it stands there.
    """

    labelled: str | None = "scratch"
    unlabelled: str | None = None
    exploratory: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, told: Mapping[str, Any], of: str = "a strategy") -> Baselines:
        """Return what a YAML or a record says.

        Raises:
            BadInputError: a key means nothing.
        """
        for key in told:
            check_known(f"key of {of}'s about.baselines", key, [f.name for f in fields(cls)])
        return cls(**told)


def usual_statistics(needs: Needs, moved: bool) -> Statistics:
    """Return what BatchNorm does with target batches, as far as it follows from needs.

    Where a method takes inputs without labels it is about these; else about the labelled ones, in
    a network that learns as a whole.

    Args:
        needs: of the method.
        moved: whether inputs without labels move the running statistics.
    """
    if needs.unlabelled:
        return "recorded" if moved else "normalised"
    learns = needs.steps and needs.target_labels != "unused" and needs.has_network
    return "recorded" if learns else "unseen"


def describe(
    needs: Needs, baselines: Baselines, space: Space, kind: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the plain dicts that stand in a strategy's YAML under `about`."""
    told = {"needs": asdict(needs), "baselines": asdict(baselines)}
    told["needs"] |= {name: list(getattr(needs, name)) for name in _SEVERAL}
    for later in ("trials", "each", "ordered_by"):  # YAMLs are there that are older than these
        if not told["needs"][later]:
            del told["needs"][later]
    if needs.source_labels:
        del told["needs"]["source_labels"]
    if needs.layers == "any":
        del told["needs"]["layers"]
    if needs.pairs == PAIRS:
        del told["needs"]["pairs"]
    return {**kind, **told, "space": {name: _plain(asdict(r)) for name, r in space.items()}}


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    return {
        k: value
        for k, value in told.items()
        if k not in ("under", "as_baseline", "around") or value
    }
