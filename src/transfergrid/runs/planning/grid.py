"""Plans the cells of a grid: expand the request, add baselines, skip impossible combinations.

It takes plain dicts and imports neither Hydra nor torch, so it plans 100,000 cells in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

from transfergrid.records.cell import PROTOCOL, Cell, Labels, Parts, Reference
from transfergrid.records.errors import BadInputError
from transfergrid.records.identity import (
    architecture_of,
    cell_id,
    cell_ids,
    given,
    part_digest,
    read_labels,
    source_part,
)
from transfergrid.records.keeping import can_validate
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.metrics import CLASSES
from transfergrid.records.needs import AT, Needs
from transfergrid.runs.planning.alike import Alike
from transfergrid.runs.planning.fitting import Fitting
from transfergrid.runs.planning.judged import judged
from transfergrid.runs.planning.kinds import modality, taken_by, task_of
from transfergrid.runs.planning.plan import (
    Arm,
    Asked,
    Option,
    Plan,
    Shared,
    Skipped,
    architecture_name,
    beside,
    in_order,
)
from transfergrid.runs.planning.selected import looks, selected, unselectable
from transfergrid.runs.planning.several import ordered
from transfergrid.runs.planning.tuned import search_of, tuned
from transfergrid.runs.planning.warm_starts import WarmStarts

Library = Callable[[str], Option]


class ByBlock(dict[int, Reference]):
    """References to an arm's cells at one label budget, by seed block; made when asked for."""

    def __init__(self, name: str, parts: Parts, labels: Labels) -> None:
        super().__init__()
        self._of = (name, parts, labels)

    def __missing__(self, seed: int) -> Reference:
        """Make and keep the reference: dozens of arms are compared with the same cell."""
        name, parts, labels = self._of
        self[seed] = made = Reference(name=name, id=cell_id(parts, labels, seed))
        return made


class Planned(NamedTuple):
    """The cells of an arm at a label budget, one per seed block."""

    parts: Parts
    labels: Labels
    ids: Sequence[str]


class Planner:
    """Turns a request into a plan.

    Args:
        library: returns the shipped (or user's) strategy of a name, without any override.
        references: names of the arms that need no source, added to every target and label budget.
        compared: whether the baselines of cells are planned too.
        ledger: of done cells, for searches that begin with the best settings on other targets.
    """

    def __init__(
        self,
        library: Library,
        references: Sequence[str] = (),
        compared: bool = True,
        ledger: Ledger | None = None,
    ) -> None:
        self.ledger = ledger
        self.warm: dict[tuple[Option, Option | None], WarmStarts] = {}
        self._request: Asked | None = None
        self.library, self.references, self.compared = library, references, compared
        self._strategies: dict[str, Option] = {}
        self._chosen: dict[tuple[Option, Option | None], Option] = {}
        self._orders: dict[tuple[Option, Option | None], Option] = {}
        self._trainings: dict[tuple[Option, Option], Option] = {}
        self._arms: dict[tuple[Any, ...], Arm] = {}
        self._asked: dict[tuple[Any, ...], Planned | None] = {}
        self._blocks: dict[tuple[str, Parts, Labels], ByBlock] = {}
        self._sources: dict[tuple[Option, Needs], tuple[Option, str]] = {}
        self._searches: dict[tuple[Option | None, Option, bool], Option | None] = {}
        self._selections: dict[tuple[Option, bool], Option] = {}
        self._alike, self.fitting = Alike(), Fitting()
        self.cells: dict[str, Cell] = {}
        self.skipped: dict[Skipped, None] = {}
        self.wanted: set[str] = set()

    def plan(self, asked: Asked) -> Plan:
        """Expand the request, add baselines and references, deduplicate, and order the cells.

        Raises:
            BadInputError: nothing that was asked for is possible; all reasons are given.
        """
        meant, self._request = _meant(asked), asked
        for target, labels, shared, strategy, source in _product(asked):
            if not (meant[shared.training, target] and meant[source, target]):
                continue  # a grid of images and texts: each gets what is meant for its modality
            made = self._ask(source, strategy, target, shared, labels, asked.seeds)
            if made is not None:
                self.wanted.update(made.ids)
        if not self.wanted:
            reasons = "; ".join(dict.fromkeys(s.reason for s in self.skipped))
            raise BadInputError(f"nothing that was asked is possible: {reasons}")
        self._add_references(asked)
        order = [beside(cell, self.cells.__contains__) for cell in in_order(self.cells)]
        return Plan(order, list(self.skipped), self.wanted)

    def _ask(
        self,
        source: Option | None,
        strategy: Option,
        target: Option,
        shared: Shared,
        labels: Labels,
        seeds: Sequence[int],
    ) -> Planned | None:
        """Plan a combination in all seed blocks, once; note why and return None if impossible."""
        key = (source, strategy, target, shared, labels)
        if key not in self._asked:
            arm = self._arm_of(source, strategy, target, shared, labels)
            own = given(strategy.needs, labels)
            self._asked[key] = None if arm is None else self._plan(arm, shared, own, seeds)
        return self._asked[key]

    def _plan(self, arm: Arm, shared: Shared, labels: Labels, seeds: Sequence[int]) -> Planned:
        """Plan the cells of an arm that are not planned yet, after their baselines."""
        planned = Planned(arm.parts, labels, cell_ids(arm.parts, labels, seeds))
        new = [(s, i) for s, i in zip(seeds, planned.ids, strict=True) if i not in self.cells]
        if not new:
            return planned
        baseline = self._baseline(arm, shared, labels, seeds) if self.compared else None
        others = [*self._exploratory(arm, shared, labels)] if self.compared else []
        for seed, identity in new:
            self.cells[identity] = Cell(
                id=identity,
                protocol=PROTOCOL,
                names=arm.names,
                parts=arm.parts,
                labels=labels,
                seed=seed,
                config=arm.config(labels, seed),
                baseline=None if baseline is None else baseline[seed],
                exploratory=tuple([other[seed] for other in others]),
            )
        return planned

    def _arm_of(
        self,
        source: Option | None,
        strategy: Option,
        target: Option,
        shared: Shared,
        labels: Labels,
    ) -> Arm | None:
        """Return the arm of a combination; note why and return None if it is impossible."""
        reason = self.fitting.reason(source, strategy, target, labels)
        if reason is None and strategy.needs.trials:
            reason = self._untried(strategy, shared.tuning, labels)
        if reason is None:
            given_labels, kind = given(strategy.needs, labels), task_of(target.config)
            told = (strategy.name, strategy.needs, kind != CLASSES, shared.training, given_labels)
            reason = unselectable(*told)
        if reason is not None:
            name = f"{source.name} x {strategy.name}" if source else strategy.name
            self.skipped[Skipped(f"{name} x {target.name}, labels={labels}", reason)] = None
            return None
        return self.arm(source, strategy, target, shared, given(strategy.needs, labels))

    def arm(
        self,
        source: Option | None,
        strategy: Option,
        target: Option,
        shared: Shared,
        labels: Labels,
    ) -> Arm:
        """Return the arm of these parts, without what cannot matter to its cells."""
        looked_at = looks(shared.training) and labels == 0
        by_rule = looked_at and bool(shared.training.config.get("selection"))
        chosen = self._ordered(self._tuned(strategy, shared.training), source)
        search = self._search(shared.tuning, chosen, labels, by_rule and chosen.needs.steps)
        if search is not None and search.config.get("warm_start") == "ledger":
            search = self._begun(search, chosen, target, shared, labels)
        key = (source, strategy, target, shared.training, search, looked_at)
        if key not in self._arms:
            reduced, part = self._reduce(source, chosen.needs)
            training = self._selected(shared.training, labels) if chosen.needs.steps else None
            kept = self._judged(training, target) if training else None
            parts = Parts(
                source=part,
                strategy=chosen.digest,
                target=target.digest,
                training=kept.digest if kept else None,
                tuning=search.digest if search else None,
            )
            self._arms[key] = Arm(reduced, chosen, target, kept, parts, search)
        return self._arms[key]

    def _begun(
        self, search: Option, strategy: Option, target: Option, shared: Shared, labels: Labels
    ) -> Option:
        """Return a search that begins with the best settings on other targets, as in all arms."""
        if self.ledger is None or self._request is None:
            raise BadInputError("tuning.warm_start=ledger: there is no ledger to begin with here")
        key = (shared.training, shared.tuning)
        if key not in self.warm:
            options = [self._tuned(one, shared.training) for one in self._compared(self._request)]
            searches = [(one, search_of(shared.tuning, one, "all")) for one in options]
            compared = [(one, own) for one, own in searches if own is not None]
            self.warm[key] = WarmStarts(self.ledger, self._request.targets, compared)
        return self.warm[key].begun(search, strategy, target, shared.training, labels)

    def _compared(self, asked: Asked) -> list[Option]:
        """Return the strategies that were asked for, and their labelled baselines, and so on."""
        found = {one.name: one for one in asked.strategies}
        waiting = list(asked.strategies) if self.compared else []
        while waiting:
            told = waiting.pop().baselines
            for name in filter(None, (told.labelled,)):
                if name not in found:
                    found[name] = self.library(name)
                    waiting.append(found[name])
        return list(found.values())

    def _search(
        self, tuning: Option | None, strategy: Option, labels: Labels, by_rule: bool = False
    ) -> Option | None:
        key = (tuning, strategy, can_validate(labels) or by_rule)
        if key not in self._searches:
            self._searches[key] = search_of(tuning, strategy, labels, by_rule)
        return self._searches[key]

    def _selected(self, training: Option, labels: Labels) -> Option:
        key = (training, labels == 0)
        if key not in self._selections:
            self._selections[key] = selected(training, labels)
        return self._selections[key]

    def _tuned(self, strategy: Option, training: Option | None) -> Option:
        key = (strategy, training)
        if key not in self._chosen:
            self._chosen[key] = tuned(strategy, training)
        return self._chosen[key]

    def _ordered(self, strategy: Option, source: Option | None) -> Option:
        key = (strategy, source)
        if key not in self._orders:
            self._orders[key] = ordered(strategy, source)
        return self._orders[key]

    def _judged(self, training: Option, target: Option) -> Option:
        key = (training, target)
        if key not in self._trainings:
            self._trainings[key] = judged(training, target.config)
        return self._trainings[key]

    def _reduce(self, source: Option | None, needs: Needs) -> tuple[Option | None, str | None]:
        """Return the part of the source that a strategy with these needs uses, and its digest."""
        if source is None or needs.source == "none":
            return None, None
        key = (source, needs)
        if key not in self._sources:
            part = part_digest(source_part(source.config, needs))
            if needs.source == "architecture":
                architecture = architecture_of(source.config)
                source = Option(architecture_name(architecture), {"architecture": architecture})
            self._sources[key] = (source, part)
        return self._sources[key]

    def _untried(self, strategy: Option, tuning: Option | None, labels: Labels) -> str | None:
        """Return why a cell has no trials, for a strategy made of trials; None if it has some."""
        if self._search(tuning, strategy, labels) is not None:
            return None
        made = f"{strategy.name} is made of the trials of a tuned cell"
        if not can_validate(labels):
            return f"{made}, and of labels={labels} none validates: nothing is tuned there"
        if tuning is None or "trials" not in tuning.config:
            return f"{made}, and nothing is tuned: add tuning=random"
        return f"{made}, and all that it searches was typed"

    # What is compared with what ----------------------------------------------------------------

    def _baseline(
        self, arm: Arm, shared: Shared, labels: Labels, seeds: Sequence[int]
    ) -> ByBlock | None:
        """Plan the primary baseline of an arm's cells and return it; None if there is none."""
        names = arm.strategy.baselines
        name = names.unlabelled if labels == 0 else names.labelled
        if name is None:
            return None
        made = self._ask(*self._comparison(arm, name), shared, labels, seeds)
        return self._block(name, made.parts, made.labels) if made else None

    def _exploratory(self, arm: Arm, shared: Shared, labels: Labels) -> Iterator[ByBlock]:
        """Yield the further (exploratory) baselines of an arm, each for any seed block."""
        for name in arm.strategy.baselines.exploratory:
            told, _, budget = name.partition(AT)
            source, strategy, target = self._comparison(arm, told)
            asked = read_labels(budget) if budget else labels
            if self.fitting.reason(source, strategy, target, asked) is None:
                own, shown = given(strategy.needs, asked), name if budget else strategy.name
                parts = self.arm(source, strategy, target, shared, own).parts
                yield self._block(shown, parts, own)

    def _block(self, name: str, parts: Parts, labels: Labels) -> ByBlock:
        key = (name, parts, labels)
        if key not in self._blocks:
            self._blocks[key] = ByBlock(*key)
        return self._blocks[key]

    def _comparison(self, arm: Arm, name: str) -> tuple[Option | None, Option, Option]:
        if (inner := self._alike.inner(arm.strategy, name)) is not None:
            return arm.source, inner, arm.target
        if name not in self._strategies:
            self._strategies[name] = self.library(name)
        strategy = self._alike.strategy(arm, self._strategies[name])
        return self._alike.source(arm, strategy), strategy, arm.target

    def _add_references(self, asked: Asked) -> None:
        budgets = {cell.labels for cell in self.cells.values() if cell.labels != 0}
        for name in self.references:
            strategy = self.library(name)
            axes = product(asked.targets, sorted(budgets, key=str), asked.tunings)
            for target, labels, tuning in axes:
                if task_of(target.config) in strategy.needs.tasks:
                    shared = Shared(asked.trainings[0], tuning)
                    self._ask(None, strategy, target, shared, labels, asked.seeds)


def _product(asked: Asked) -> Iterable[tuple[Option, Labels, Shared, Option, Option]]:
    """Yield the combinations that were asked for, sources varying fastest.

    Cells that run at the same time then seldom wait for the training of the same source.
    """
    shared = [Shared(*both) for both in product(asked.trainings, asked.tunings)]
    return product(asked.targets, asked.labels, shared, asked.strategies, asked.sources)


def _meant(asked: Asked) -> dict[tuple[Option, Option], bool]:
    """Return whether each training, and each source, is meant for the modality of each target."""
    axes = ((asked.trainings, _meant_for), (asked.sources, taken_by))
    return {
        (one, target): _is_meant(one, target, options, kind)
        for options, kind in axes
        for one, target in product(options, asked.targets)
    }


MEANT_FOR = {"images": "image", "small_images": "image", "text": "text", "vectors": "vector"}
"""The modality that each kind of training is meant for."""


def _is_meant(
    one: Option, target: Option, asked: Sequence[Option], kind: Callable[[Option], str | None]
) -> bool:
    """Return whether an option is meant for a target's modality.

    True also if it says no modality, or if no option that was asked for on its axis is meant for
    the target's.
    """
    if len(asked) == 1 or (own := kind(one)) is None:
        return True
    holds = modality(target.config)
    return own == holds or holds not in map(kind, asked)


def _meant_for(training: Option) -> str | None:
    kind = (training.config.get("about") or {}).get("kind")
    return MEANT_FOR.get(str(kind))
