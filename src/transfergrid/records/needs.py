"""What a strategy needs and what its baselines are, as plain values that planning can read."""

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
"""An assumption of a method about class shares.

`same_shares`: each class has the same share in source and target. `equal_shares`: all classes of
the target have equal shares. Where the assumption is wrong the method may do harm; a plan says so.
"""
Transferred = Literal["instances", "features", "parameters", "relations", "nothing"]
"""What a strategy transfers from the source; `nothing` for the baselines without transfer."""
Badge = Literal["formula_exact", "trajectory_exact", "band_reproduced"]
"""What the tests prove about a strategy's implementation.

`formula_exact`: its loss, weights or rates equal the published values. `trajectory_exact`: after
some steps its parameters equal those of an independently written loop. `band_reproduced`: it
reaches a score that was reported elsewhere.
"""
Statistics = Literal["recorded", "normalised", "unseen"]
"""What BatchNorm does with target batches while a method learns.

`recorded`: target batches update the running statistics, which normalise at prediction.
`normalised`: unlabelled target batches are normalised by their own batch statistics, but do not
update the running statistics. `unseen`: target batches neither update the running statistics nor
are normalised by their own.
"""
TASKS = (CLASSES, NUMBERS)
"""Kinds of target that a strategy can learn by default."""
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
"""Keys of older records, each with its present name and the present values of its truth values."""


@dataclass(frozen=True)
class Needs:
    """The requirements of a strategy: what a cell must provide for the strategy to be possible.

    Args:
        source: what the strategy uses of the source. `weights`: its backbone weights. `head`: the
            weights and the head that was trained with them. `architecture`: the architecture only.
            `start`: the weights before training on the source domain. `domain`: its labelled domain
            only, no network. `none`: nothing.
        target_labels: `required`, `optional`, or `unused` (then all label budgets are one cell).
        domains: number of labelled source domains that the strategy learns from beside the target:
            0, 1, or 2 for two or more.
        classes: how the classes of source domain and target must match: `any` classes, the `same`
            classes by name, classes `described` by attributes, or `named`: the target's classes are
            given by texts.
        pairs: settings that the strategy can handle, where `classes` is `same`: `closed` (both have
            the same classes), `partial` (the target lacks some of the source's classes), `open`
            (the source lacks some of the target's classes; these are predicted as one more class,
            the last one). A pair that is both partial and open needs both words.
        unlabelled: whether it needs target inputs without labels.
        teacher: whether it needs a teacher: the source, adapted to the target beforehand.
        steps: whether it trains for the shared number of steps; a closed form without steps is one
            cell under every `training`.
        trials: whether it needs a search inside the cell, because it combines the trials.
        tasks: kinds of target that it can learn. The entries of a matrix are a kind of their own,
            which no network over examples can learn.
        each: whether it needs separate weights for each of several sources, and the start that all
            of them were trained from, instead of one network trained on all of them.
        source_labels: whether it learns from labels of source domains; if not, the labels are not
            passed to it, and a source without labels is enough.
        ordered_by: name of the argument that lists the source's domains in the order in which they
            are learned; if that argument is null, they are ordered by name. Empty: the domains are
            a set, without order.
        layers: layers that the network must have: `batch_norm`, `norm` of any kind, `tokens`, or
            `some` layers that `build` checks for. If they are missing, `build` raises
            `ImpossibleError` and a grid leaves these cells out. With `any` it never raises it.

    Raises:
        BadInputError: a value is not one of the known words.
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
        """Return the same needs, restricted to these kinds of target."""
        return replace(self, tasks=tasks)

    @property
    def are_plain(self) -> bool:
        """Whether the strategy needs only source weights, target labels and the shared steps.

        It may still be limited to certain layers, kinds of target or settings of a pair.
        """
        return replace(self, tasks=TASKS, layers="any", pairs=PAIRS) == Needs()

    @property
    def describes(self) -> bool:
        """Whether classes are given by descriptions, so that a class needs no example."""
        return self.classes in ("described", "named")

    @property
    def are_choosy(self) -> bool:
        """Whether only the actual network can show if the needs are met."""
        return self.layers != "any" or self.source == "head"

    @property
    def has_network(self) -> bool:
        """Whether it uses a network of the source's architecture, pretrained or random."""
        return self.source not in ("none", "domain")

    @classmethod
    def read(cls, told: Mapping[str, Any], of: str = "a strategy") -> Needs:
        """Return needs from the mapping in a YAML or a record; keys of older records are accepted.

        Raises:
            BadInputError: a key or a value is unknown.
        """
        values = {}
        for key, value in told.items():
            name, meaning = _ONCE.get(key, (key, {}))
            check_known(f"key of {of}'s about.needs", name, [f.name for f in fields(cls)])
            values[name] = meaning.get(value, value) if isinstance(value, bool) else value
        values |= {name: tuple(values[name]) for name in _SEVERAL if name in values}
        return cls(**values)


AT = "@"
"""Separator in the name of a baseline that has another label budget, as in `prototypes@5`."""


@dataclass(frozen=True)
class Baselines:
    """The baselines of a strategy, by name: a gain is the difference to a baseline's score.

    Args:
        labelled: primary baseline of cells with target labels; None for a reference arm.
        unlabelled: primary baseline of cells with `labels=0`.
        exploratory: further baselines, compared with where their cells exist. `prototypes@5` is the
            cell with another label budget. The name of an argument that holds a strategy, such as
            "then", means that strategy, configured as it is there.
    """

    labelled: str | None = "scratch"
    unlabelled: str | None = None
    exploratory: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, told: Mapping[str, Any], of: str = "a strategy") -> Baselines:
        """Return baselines from the mapping in a YAML or a record.

        Raises:
            BadInputError: a key is unknown.
        """
        for key in told:
            check_known(f"key of {of}'s about.baselines", key, [f.name for f in fields(cls)])
        return cls(**told)


def usual_statistics(needs: Needs, moved: bool) -> Statistics:
    """Return what BatchNorm does with target batches, as far as the needs determine it.

    For a method that uses unlabelled inputs the answer is about the unlabelled batches. Otherwise
    it is about the labelled batches, assuming that the whole network is trained.

    Args:
        needs: the needs of the method.
        moved: whether unlabelled inputs update the running statistics.
    """
    if needs.unlabelled:
        return "recorded" if moved else "normalised"
    learns = needs.steps and needs.target_labels != "unused" and needs.has_network
    return "recorded" if learns else "unseen"


def describe(
    needs: Needs, baselines: Baselines, space: Space, kind: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the plain dict for the `about` block of a strategy's YAML."""
    told = {"needs": asdict(needs), "baselines": asdict(baselines)}
    told["needs"] |= {name: list(getattr(needs, name)) for name in _SEVERAL}
    for later in ("trials", "each", "ordered_by"):  # some YAMLs are older than these keys
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
