"""The record of a cell: everything that one run leaves behind, as JSON.

The annotation of each key says what the key means; `reference()` renders these annotations as the
documentation of the format. Keys are only ever added. A change of meaning raises `SCHEMA`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import Field, TypeAdapter

from transfergrid.records import shapes
from transfergrid.records.cell import Cell
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import CURVES, PREDICTIONS
from transfergrid.records.files.border import Checked, Reader, is_time, like
from transfergrid.records.findings import Diagnostics
from transfergrid.records.metrics import OPEN_SET, SHARES, ZERO_SHOT
from transfergrid.records.pairs import Pair
from transfergrid.records.selection import ChosenBy, Selection

SCHEMA = 1


class Status(StrEnum):
    """The state of a cell."""

    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The deciding metric of a target: the score that cells are compared by."""

    name: Annotated[str, "a key of `scores.test`"] = "accuracy"
    higher_is_better: Annotated[bool, "false for losses and errors"] = True


Score = dict[str, float | None]


def _within_bounds(scores: Score | None) -> Score | None:
    for name in (SHARES | {*OPEN_SET, *ZERO_SHOT}) & (scores or {}).keys():
        value = (scores or {})[name]
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"{name} must be from 0 to 1, and is {value:g}")
    return scores


def _are_shares(scores: Score | None) -> Score | None:
    for name, value in (scores or {}).items():
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"{name} must be from 0 to 1, and is {value:g}")
    return scores


Bounded = Checked(_within_bounds)
Shares = Checked(_are_shares)
Count = Field(ge=0)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of the chosen step.

    For classes: accuracy, balanced_accuracy, macro_f1, auroc, ece (all from 0 to 1) and loss
    (nats). For an open pair also os, os_star and unknown_recall. Where classes are given by
    descriptions also the mean accuracy of seen classes, of unseen classes, and the harmonic mean
    of both. For numbers: mse and mae, in the unit of the labels, and r2; with several outputs each
    is the mean over the outputs. A score that is not defined is null.
    """

    train: Annotated[Score | None, Bounded, "on the training examples, not augmented"] = None
    validation: Annotated[
        Score | None, Bounded, "on the part of the given labels that validates"
    ] = None
    test: Annotated[Score | None, Bounded, "on the test split, read once after every choice"] = None
    by_class: Annotated[
        Score | None,
        Shares,
        "test accuracy of each class, where classes are told by descriptions; null of one that has "
        "no test example",
    ] = None


@dataclass(frozen=True, kw_only=True)
class OtherTask:
    """How well the cell's network does the task of a source domain, on that domain's test part."""

    name: Annotated[str, "what the domain is called"]
    target_part: Annotated[str, "the digest of a target of this domain"]
    after: Annotated[str, "what had been learned by then; empty: all"] = ""
    metric: Annotated[Metric, "the score that decides on this domain"] = field(
        default_factory=Metric
    )
    test: Annotated[Score, Bounded, "scores on its test part"]
    examples: Annotated[int, Count, "of its test part"] = 0


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Warning marks of a done cell; a marked cell still counts in every mean and verdict."""

    collapsed: Annotated[bool, "predicts one class for all test examples"] = False
    underfit: Annotated[bool, "does not fit its own training examples"] = False
    contaminated_by: Annotated[
        tuple[str, ...], "datasets that hold the target and that the source was trained on"
    ] = ()


@dataclass(frozen=True, kw_only=True)
class Path:
    """A hyperparameter that acts after training: trying its values took no further steps."""

    name: Annotated[str, "the strategy's argument"]
    values: Annotated[tuple[float, ...], "those that were put, in their order"]
    validation: Annotated[
        tuple[float | None, ...],
        "what each scored on the validation part, by the metric that decides; none where nothing "
        "validates, and the default was tested",
    ]
    train_loss: Annotated[
        tuple[float | None, ...],
        "the loss of each on the training examples, which nothing was chosen by; none where it "
        "says nothing",
    ] = ()
    chosen: Annotated[float, "the value that was tested"]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which weights were tested: their step, and how it was chosen."""

    step: Annotated[int, "batches seen by then"]
    by: Annotated[
        ChosenBy,
        "best validation score, a rule without target labels, the last step, or no steps at all",
    ]
    paths: Annotated[
        tuple[Path, ...], "hyperparameters that act after training, with what each value scored"
    ] = ()


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The resources that the cell used: steps, batches, validation checks and trials."""

    steps: Annotated[int, "batches trained on, as `training` allots"] = 0
    optimiser_steps: Annotated[
        int | None, "steps of the optimiser on them; null where they were not counted yet"
    ] = None
    target_batches: Annotated[int, "batches with labelled target examples"] = 0
    unlabelled_batches: Annotated[int, "batches with unlabelled target examples"] = 0
    source_batches: Annotated[int, "batches with labelled source examples"] = 0
    teacher_steps: Annotated[int, "batches that a teacher was trained on"] = 0
    validation_checks: Annotated[int, "times that the validation part was scored"] = 0
    tuning_trials: Annotated[int, "settings tried before this one was fixed"] = 0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial of the search inside a cell: a setting and its score."""

    values: Annotated[
        dict[str, float],
        "what was tried, by the strategy's argument; without those that the method chose itself",
    ]
    score: Annotated[
        float | None,
        "on the validation part, by the metric that decides; by the rule where one chose without "
        "target labels; null if it failed",
    ] = None
    step: Annotated[int | None, "batches seen by the weights that were scored"] = None
    reason: Annotated[str | None, "why it failed, in one line"] = None
    cell: Annotated[
        str | None, "of a warm start, the cell of the ledger that chose this; null if searched here"
    ] = None
    target: Annotated[str | None, "likewise, that cell's target"] = None


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The hyperparameter search inside a cell; every trial had as many steps as the cell."""

    trials: Annotated[tuple[Trial, ...], "in the order in which they were run"] = ()
    chosen: Annotated[
        int | None,
        "place in `trials` of the one that was tested, or that scored best of those that were "
        "averaged; null where nothing was searched",
    ] = None
    members: Annotated[
        tuple[int, ...],
        "places in `trials` of those whose weights were averaged; none where one was tested alone",
    ] = ()
    reason: Annotated[str | None, "why nothing was searched: the defaults were run"] = None


@dataclass(frozen=True, kw_only=True)
class Data:
    """The target's data in the cell: numbers of examples, classes and outputs, notes."""

    train: Annotated[int, Count, "labelled training examples"] = 0
    validation: Annotated[int, Count, "labelled examples set aside to choose by"] = 0
    judged: Annotated[
        int | None,
        "those of them that were chosen by, and that `scores.validation` is of; null: all",
    ] = None
    unlabelled: Annotated[int, Count, "training examples seen without labels"] = 0
    test: Annotated[int, Count, "test examples"] = 0
    classes: Annotated[
        tuple[str, ...],
        "class names in the order of the probabilities; none where numbers are told",
    ] = ()
    pair: Annotated[
        Pair | None,
        "how classes of source domain and target stand to each other, where a strategy needs to "
        "know; `classes` are then all that are predicted",
    ] = None
    seen: Annotated[
        tuple[str, ...] | None,
        "classes that the source has examples of, where classes are told by descriptions: all "
        "others are unseen",
    ] = None
    outputs: Annotated[
        tuple[str, ...], "names of the numbers that are told, in the order of the values"
    ] = ()
    floor: Annotated[
        Score | None, Bounded, "of numbers: what telling the mean of the test labels would score"
    ] = None
    per_class: Annotated[dict[str, int], "labelled examples of each class"] = field(
        default_factory=dict
    )
    short: Annotated[
        dict[str, tuple[int, int]],
        "classes with too few examples: how many asked for, how many got; `all` of numbers, and "
        "where labels come as they are",
    ] = field(default_factory=dict)
    notes: Annotated[
        dict[str, Any],
        like(shapes.Notes),
        "what the domain says of itself, such as skipped files",
    ] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Wall-clock time of a cell by phase, in seconds."""

    load: Annotated[float, "reading and preparing data and weights"] = 0.0
    source: Annotated[
        float, "training the source here, or waiting for a process that does; 0 if it was found"
    ] = 0.0
    teacher: Annotated[float, "training a teacher"] = 0.0
    train: Annotated[float, "training on the target"] = 0.0
    evaluate: Annotated[float, "scoring the train, validation and test parts"] = 0.0
    diagnose: Annotated[float, "looking at the model for `diagnostics`"] = 0.0
    total: Annotated[float, "the whole cell"] = 0.0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the cell cost: time, memory and size."""

    seconds: Annotated[Seconds, "wall-clock time by phase"] = field(default_factory=Seconds)
    peak_memory_bytes: Annotated[
        int | None, "most memory held, on the device if it has its own"
    ] = None
    continued: Annotated[
        int,
        "times that it was stopped and went on from a checkpoint; seconds and memory are of all "
        "these runs, less what was lost between checkpoint and stop",
    ] = 0
    stacked: Annotated[
        int,
        "seeds that were trained side by side, this one among them; its seconds of load and train "
        "hold an equal share of what that took",
    ] = 1
    halvings: Annotated[
        int,
        "times that the parts in which a batch is computed were doubled, beyond what the training "
        "says, as the device had no memory for more; BatchNorm, and losses of whole batches, then "
        "saw as much less at a time",
    ] = 0
    parameters: Annotated[
        int | None, "parameters of all modules, merged where the kept model is"
    ] = None
    parameters_trained: Annotated[
        int | None, "parameters that a gradient reaches, before any are merged"
    ] = None
    flops_forward: Annotated[int | None, "floating-point operations to predict one example"] = None
    seconds_forward: Annotated[
        float | None,
        "seconds to predict one example by itself, by all networks that take part in it, once its "
        "inputs are prepared: the least of three times",
    ] = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine that the cell ran on."""

    device: Annotated[str, "accelerator or processor, in words"] = ""
    threads: Annotated[int, "CPU threads of a tensor operation"] = 0
    precision: Annotated[str, "of the training"] = ""
    platform: Annotated[str, "operating system and processor type"] = ""
    devices: Annotated[int, "devices that trained it together, of this kind"] = 1


@dataclass(frozen=True, kw_only=True)
class Record(Cell):
    """A cell with its results, its cost and its provenance."""

    schema: Annotated[int, Field(le=SCHEMA), "version of this format"] = SCHEMA
    status: Annotated[Status, "planned, running, done, failed or skipped"]
    reason: Annotated[str | None, "why it failed or was skipped, in one line"] = None
    metric: Annotated[Metric, "the score that decides"] = field(default_factory=Metric)
    scores: Annotated[Scores, "scores of the chosen step"] = field(default_factory=Scores)
    others: Annotated[
        tuple[OtherTask, ...],
        "tasks of source domains, where a head of theirs was learned with the target or before it",
    ] = ()
    flags: Annotated[Flags, "collapsed, underfit"] = field(default_factory=Flags)
    chosen: Annotated[Chosen | None, "which weights were tested; null if none were"] = None
    budget: Annotated[Budget, "what the cell was given"] = field(default_factory=Budget)
    tuning: Annotated[
        Tuning | None, "the search for settings inside the cell; null without one"
    ] = None
    data: Annotated[Data, "target examples seen"] = field(default_factory=Data)
    cost: Annotated[Cost, "what the cell took"] = field(default_factory=Cost)
    source: Annotated[
        dict[str, Any] | None,
        like(shapes.Card),
        "the source: fingerprint, card, accuracy on its own domain, notes",
    ] = None
    diagnostics: Annotated[
        Diagnostics | None, "what the cell noted about itself; null in older records"
    ] = None
    selection: Annotated[
        Selection | None,
        "looks at a run without target labels: `training.selection`, `training.oracle`; null "
        "without both",
    ] = None
    told: Annotated[dict[str, Any], "what its strategy found: numbers by name"] = field(
        default_factory=dict
    )
    machine: Annotated[Machine, "what the cell ran on"] = field(default_factory=Machine)
    versions: Annotated[dict[str, str], "versions of Python and the libraries"] = field(
        default_factory=dict
    )
    commit: Annotated[str | None, "commit of the program; null outside a repository"] = None
    code: Annotated[str, "fingerprint of the strategy's source code"] = ""
    started: Annotated[str | None, Checked(is_time), "ISO 8601 time, UTC"] = None
    finished: Annotated[str | None, Checked(is_time), "ISO 8601 time, UTC"] = None

    @property
    def score(self) -> float | None:
        """The test score by the deciding metric, as recorded; None if it is missing or null."""
        return (self.scores.test or {}).get(self.metric.name)

    @property
    def strategy_class(self) -> str | None:
        """The dotted path of the strategy's class, as the config gives it; None without one."""
        strategy = self.config.get("strategy")
        told = strategy.get("_target_") if isinstance(strategy, dict) else None
        return told if isinstance(told, str) else None

    @property
    def n_validation(self) -> int:
        """The number of examples that the validation scores were computed on."""
        return self.data.validation if self.data.judged is None else self.data.judged

    @property
    def labels_got(self) -> tuple[int, int] | None:
        """The fewest and the most labels that a class got.

        For targets of numbers both are the total number of labels. None if every class got exactly
        the label budget, if the budget is 0 or "all", and if no counts were recorded.
        """
        counts: Iterable[int] = self.data.per_class.values()
        if self.data.outputs:
            got = self.data.train + self.data.validation
            counts = [got] if got else []
        if self.labels in ("all", 0) or not counts or set(counts) == {self.labels}:
            return None
        return min(counts), max(counts)

    def to_json(self, indent: int | None = 1) -> str:
        """Return the record as JSON text; numbers that are not finite become null."""
        text = _adapter().dump_json(self, indent=indent, warnings=False, fallback=_plain)
        return text.decode()


_read: Reader[Record] = Reader(Record)


@cache
def _adapter() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


def _plain(value: Any) -> Any:
    """Return a NumPy scalar as a Python number."""
    return value.item()


def from_json(text: str | bytes) -> Record:
    """Return the record that JSON text holds; unknown keys are ignored.

    Raises:
        BadInputError: the text is not a record, or its schema is newer than this program reads.
    """
    try:
        return _read(text)
    except BadInputError as error:
        if is_newer(text):
            raise BadInputError(
                f"a record of a newer schema than {SCHEMA}, the last that this transfergrid reads: "
                "upgrade it"
            ) from None
        raise BadInputError(f"no record: {error}") from None


def is_newer(text: str | bytes) -> bool:
    """Return whether JSON text has a `schema` that is newer than this program reads."""
    try:
        return int(json.loads(text)["schema"]) > SCHEMA
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return False


def documented_keys(cls: type = Record, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield (dotted key, type, meaning) for every key of a record, nested keys after the parent."""
    hints = get_type_hints(cls, include_extras=True)
    for item in dataclasses.fields(cls):
        kind, *docs = get_args(hints[item.name])
        yield prefix + item.name, _spelled(kind), str(docs[-1])
        for part in (kind, *get_args(kind)):
            if isinstance(part, type) and dataclasses.is_dataclass(part):
                yield from documented_keys(part, f"{prefix}{item.name}.")


def _spelled(kind: Any) -> str:
    if isinstance(kind, type) and get_origin(kind) is None:
        return "object" if dataclasses.is_dataclass(kind) else kind.__name__
    return re.sub(r"\b(?:\w+\.)+", "", str(kind))


def reference() -> str:
    """Return the documentation of a record and of the arrays beside it, as markdown tables."""
    arrays = (("predictions.npz", PREDICTIONS), ("curves.npz", CURVES))
    return "\n".join(
        [f"`record.json`, schema {SCHEMA}", "", "| key | type | meaning |", "| --- | --- | --- |"]
        + [f"| `{key}` | `{_escaped(kind)}` | {doc} |" for key, kind, doc in documented_keys()]
        + [line for name, keys in arrays for line in _array_lines(name, keys)]
    )


def _array_lines(name: str, keys: dict[str, str]) -> list[str]:
    rows = [f"| `{key}` | {doc} |" for key, doc in keys.items()]
    return ["", f"`{name}`", "", "| key | meaning |", "| --- | --- |", *rows]


def _escaped(kind: str) -> str:
    return kind.replace("|", "\\|")
