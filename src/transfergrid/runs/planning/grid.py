"""Which cells there are: expand what was asked, add baselines, leave out what cannot be.

Takes plain dicts and knows neither Hydra nor torch, so that it plans 100,000 cells in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

from transfergrid.records.cell import PROTOCOL, Cell, Labels, Parts, Reference
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config, build, locate
from transfergrid.records.identity import (
    architecture_of,
    cell_id,
    digest,
    given,
    part_digest,
    read_labels,
    source_part,
)
from transfergrid.records.keeping import can_validate
from transfergrid.records.ledger import Ledger
from transfergrid.records.metrics import CLASSES, CLUSTERS, ENTRIES, NUMBERS, kind_of
from transfergrid.records.needs import AT, Needs
from transfergrid.records.several import parts_of
from transfergrid.runs.planning import several
from transfergrid.runs.planning.alike import Alike
from transfergrid.runs.planning.judged import judged
from transfergrid.runs.planning.pairs import unsuitable
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
from transfergrid.runs.planning.tuned import search_of, tuned
from transfergrid.runs.planning.warm_starts import WarmStarts
from transfergrid.runs.planning.zero_shot import all_seen

Library = Callable[[str], Option]


class ByBlock(dict[int, Reference]):
    """What arms are compared with in each seed block: cells that differ in their seed alone."""

    def __init__(self, name: str, parts: Parts, labels: Labels) -> None:
        super().__init__()
        self._of = (name, parts, labels)

    def __missing__(self, seed: int) -> Reference:
        """Make what is asked for the first time; arms by the dozen are compared with it."""
        name, parts, labels = self._of
        self[seed] = made = Reference(name=name, id=cell_id(parts, labels, seed))
        return made


class Planned(NamedTuple):
    """The cells of an arm at a label budget, one a seed block."""

    parts: Parts
    labels: Labels
    ids: Sequence[str]


class Planner:
    """Turns what was asked into a plan.

    Args:
        library: gives the shipped (or user's) strategy of a name, without any override.
        references: names of the arms that need no source, added to every target and label budget.
        compared: whether cells get the baselines that they are compared with.
        ledger: where searches may begin with what was best on other targets.
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
        self._classes: dict[str, tuple[str, ...]] = {}
        self._strategies: dict[str, Option] = {}
        self._chosen: dict[tuple[Option, Option | None], Option] = {}
        self._trainings: dict[tuple[Option, Option], Option] = {}
        self._arms: dict[tuple[Any, ...], Arm] = {}
        self._asked: dict[tuple[Any, ...], Planned | None] = {}
        self._blocks: dict[tuple[str, Parts, Labels], ByBlock] = {}
        self._sources: dict[tuple[Option, Needs], tuple[Option, str]] = {}
        self._reasons: dict[tuple[Option | None, Option, Option, bool], str | None] = {}
        self._searches: dict[tuple[Option | None, Option, bool], Option | None] = {}
        self._selections: dict[tuple[Option, bool], Option] = {}
        self._alike = Alike()
        self.cells: dict[str, Cell] = {}
        self.skipped: dict[Skipped, None] = {}
        self.wanted: set[str] = set()

    def plan(self, asked: Asked) -> Plan:
        """Expand, complete, deduplicate and order.

        Raises:
            BadInputError: nothing that was asked remains possible; all reasons are given.
        """
        meant, self._request = _meant(asked), asked
        for target, labels, shared, strategy, source in _product(asked):
            if not (meant[shared.training, target] and meant[source, target]):
                continue  # images and texts side by side, each with what was asked for it
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
        """Plan what is asked for in all seed blocks, once; None, noting why, if it cannot be."""
        key = (source, strategy, target, shared, labels)
        if key not in self._asked:
            arm = self._arm_of(source, strategy, target, shared, labels)
            own = given(strategy.needs, labels)
            self._asked[key] = None if arm is None else self._plan(arm, shared, own, seeds)
        return self._asked[key]

    def _plan(self, arm: Arm, shared: Shared, labels: Labels, seeds: Sequence[int]) -> Planned:
        """Plan the cells of an arm that are not planned yet, after their baselines."""
        planned = Planned(arm.parts, labels, [cell_id(arm.parts, labels, seed) for seed in seeds])
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
        """Return the arm of what is asked for, of any seed; None, noting why, if it cannot be."""
        reason = self._impossible(source, strategy, target, labels)
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
        """Return what the cells of these parts have in common, less what cannot matter to them."""
        looked_at = looks(shared.training) and labels == 0
        by_rule = looked_at and bool(shared.training.config.get("selection"))
        chosen = self._tuned(strategy, shared.training)
        search = self._search(shared.tuning, chosen, labels, by_rule and chosen.needs.steps)
        if search is not None and search.config.get("warm_start"):
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
        """Return a search that begins with what was best on other targets, all arms alike."""
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
        """Return the strategies that were asked for, and those that they are compared with."""
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

    def _judged(self, training: Option, target: Option) -> Option:
        key = (training, target)
        if key not in self._trainings:
            self._trainings[key] = judged(training, target.config)
        return self._trainings[key]

    def _reduce(self, source: Option | None, needs: Needs) -> tuple[Option | None, str | None]:
        """Return the source as far as it matters to these needs, and the digest of that."""
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

    # What cannot be ----------------------------------------------------------------------------

    def _impossible(
        self, source: Option | None, strategy: Option, target: Option, labels: Labels
    ) -> str | None:
        key = (source, strategy, target, labels == 0)
        if key not in self._reasons:
            self._reasons[key] = self._reason(source, strategy, target, labels)
        return self._reasons[key]

    def _untried(self, strategy: Option, tuning: Option | None, labels: Labels) -> str | None:
        """Return why a cell has no trials to be made of, if so."""
        if self._search(tuning, strategy, labels) is not None:
            return None
        made = f"{strategy.name} is made of the trials of a tuned cell"
        if not can_validate(labels):
            return f"{made}, and of labels={labels} none validates: nothing is tuned there"
        if tuning is None or "trials" not in tuning.config:
            return f"{made}, and nothing is tuned: add tuning=random"
        return f"{made}, and all that it searches was typed"

    def _reason(
        self, source: Option | None, strategy: Option, target: Option, labels: Labels
    ) -> str | None:
        needs, kind = strategy.needs, task_of(target.config)
        if not has_labels(target.config):
            return f"{target.name} has no labels to score by: it is for source=pretrained_here"
        if kind not in needs.tasks:
            learns, holds = (WHAT[k] for k in (needs.tasks[0], kind))
            return f"{strategy.name} learns {learns}, and {target.name} holds {holds}"
        if needs.target_labels == "required" and labels == 0:
            return f"{strategy.name} needs target labels, and labels=0 gives none"
        if needs.unlabelled and is_episodic(target.config):
            told = f"{strategy.name} learns from target inputs without labels"
            return f"{told}, and the episodes of {target.name} bring none"
        if needs.source == "none":
            return None
        if source is None:
            return f"{strategy.name} needs a source"
        takes, holds = _taken_by(source), modality(target.config)
        if takes != holds:
            return f"{source.name} takes {PLURAL[takes]}, and {target.name} holds {PLURAL[holds]}"
        if needs.has_network and not brings_network(source.config):
            return f"{strategy.name} needs a network, and source {source.name} is data alone"
        if takes == "vector" and (unfit := other_vectors(source, target)) is not None:
            return unfit
        if needs.classes == "described" and (bare := self._undescribed(source, needs, target)):
            return f"{strategy.name} needs descriptions of the classes, and {bare} has none"
        if needs.classes == "named" and (untold := self._unnamed(source, strategy, target)):
            return untold
        return self._other_source(source, strategy, target)

    def _other_source(self, source: Option, strategy: Option, target: Option) -> str | None:
        """Return why what the source has learned is not what the strategy needs, if so."""
        needs, domain = strategy.needs, source.config.get("domain")
        if needs.source == "head" and domain is not None and task_of(domain) not in needs.tasks:
            learns, gives = WHAT[needs.tasks[0]], WHAT[task_of(domain)]
            return f"{strategy.name} learns {learns}, and the head of {source.name} gives {gives}"
        matched = needs.source == "head" and needs.classes == "same"
        if (reason := several.unsuited(source, strategy, self.classes)) is not None:
            return reason
        if not is_labelled(source):
            if needs.source == "head":
                return f"{strategy.name} needs a classifier, and {source.name} has learned none"
            if needs.domains and needs.source_labels:
                return (
                    f"{strategy.name} learns from the source's labels, and {source.name} has none"
                )
        if domain is None and needs.domains:
            what = "a labelled source domain" if needs.source_labels else "a source domain"
            return f"{strategy.name} needs {what}, and source {source.name} brings none"
        if domain is None and matched:
            return (
                f"{strategy.name} needs to know the source's classes, and source {source.name} "
                "brings no domain that says them"
            )
        if needs.describes:
            return all_seen(source, strategy, target, self.classes)
        if needs.classes == "same" and (needs.domains or matched):
            return self._different_classes(source, strategy, target)
        return None

    def _different_classes(self, source: Option, strategy: Option, target: Option) -> str | None:
        kinds = [task_of(config) for config in (source.config["domain"], target.config)]
        if kinds[0] != kinds[1]:
            have = (WHAT[kind] for kind in kinds)
            told = "{0} has {2}, {1} has {3}".format(source.name, target.name, *have)
            return f"{strategy.name} needs the same labels in source and target: {told}"
        ours, theirs = self.classes(target.config), self.classes(source.config["domain"])
        return unsuitable(strategy, (source.name, theirs), (target.name, ours), kinds[0] == CLASSES)

    def classes(self, domain: Config) -> tuple[str, ...]:
        """Return the names of a domain's classes, or numbers; check it when it is first met.

        Raises:
            BadInputError: the domain cannot be used as it is.
        """
        key = digest(domain)
        if key not in self._classes:
            made = build(domain)
            made.check()
            made.check_tested()
            self._classes[key] = tuple(made.classes or made.outputs)
        return self._classes[key]

    def _undescribed(self, source: Option, needs: Needs, target: Option) -> str | None:
        """Return the name of a domain whose classes are not described, where they should be."""
        asked = [(target.name, target.config)]
        if needs.domains and source.config.get("domain") is not None:
            asked.append((f"the domain of {source.name}", source.config["domain"]))
        for name, domain in asked:
            self.classes(domain)  # checks it
            if not build(domain).is_described:
                return name
        return None

    def _unnamed(self, source: Option, strategy: Option, target: Option) -> str | None:
        """Return why texts of classes say nothing to a source, if so.

        Raises:
            BadInputError: the texts are none to go by.
        """
        if is_episodic(target.config):
            told = f"{strategy.name} tells classes by their names"
            return f"{told}, and those of {target.name} are others in each episode"
        self.classes(target.config)  # checks it
        assert build(target.config).class_texts
        kind = locate(architecture_of(source.config)["_target_"])
        if modality(architecture_of(source.config)) == "text" or kind.embeds_texts:
            return None
        return (
            f"{strategy.name} tells classes by texts, and {source.name} embeds none: it needs a "
            "source of texts, or one of images and texts in one space (source=clip)"
        )

    # What is compared with what ----------------------------------------------------------------

    def _baseline(
        self, arm: Arm, shared: Shared, labels: Labels, seeds: Sequence[int]
    ) -> ByBlock | None:
        """Return the primary baseline of an arm's cells, now planned; None if there is none."""
        names = arm.strategy.baselines
        name = names.unlabelled if labels == 0 else names.labelled
        if name is None:
            return None
        made = self._ask(*self._comparison(arm, name), shared, labels, seeds)
        return self._block(name, made.parts, made.labels) if made else None

    def _exploratory(self, arm: Arm, shared: Shared, labels: Labels) -> Iterator[ByBlock]:
        """Yield what the further baselines of an arm are, in whatever seed block."""
        for name in arm.strategy.baselines.exploratory:
            told, _, budget = name.partition(AT)
            source, strategy, target = self._comparison(arm, told)
            asked = read_labels(budget) if budget else labels
            if self._impossible(source, strategy, target, asked) is None:
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


PLURAL = {"image": "images", "text": "texts", "vector": "vectors", "matrix": "matrices"}
WHAT = {
    CLASSES: "classes",
    NUMBERS: "numbers",
    CLUSTERS: "clusters (target.metric=nmi or ari)",
    ENTRIES: "entries of a matrix",
}


def task_of(target: Config) -> str:
    """Return the kind of task that a domain's labels are, by the metric that scores them.

    Numbers that are the entries of a matrix are a kind of their own.
    """
    if getattr(locate(target["_target_"]), "of_entries", False):
        return ENTRIES
    return kind_of(str(target.get("metric")))


def modality(config: Config) -> str:
    """Return what an architecture takes, or a domain holds: "image", "text" or "vector"."""
    if (inner := config.get("domain")) is not None:  # whose examples it takes
        return modality(inner)
    return str(getattr(locate(config["_target_"]), "modality", "image"))


def has_labels(part: Config) -> bool:
    """Return whether a domain has labels, or a source has learned from such."""
    return not (part.get("about") or {}).get("unlabelled")


def is_labelled(source: Option) -> bool:
    """Return whether labels of a source's domain are known, where it has a domain."""
    domains = parts_of(source.config.get("domain"))
    return has_labels(source.config) and all(map(has_labels, domains))


def is_episodic(target: Config) -> bool:
    """Return whether a target is made of episodes."""
    return bool(getattr(locate(target["_target_"]), "episodic", False))


def other_vectors(source: Option, target: Option) -> str | None:
    """Return why a source of vectors does not take those of a target, if so.

    Raises:
        BadInputError: a domain cannot be read.
    """
    takes, holds = architecture_of(source.config).get("inputs"), _vector_of(target.config)
    if not holds:
        return None
    if takes not in (None, len(holds)):
        told = f"{source.name} takes vectors of {takes} numbers"
        return f"{told}, and {target.name} holds vectors of {len(holds)}"
    domain = source.config.get("domain")
    theirs = _vector_of(domain) if domain is not None else ()
    if theirs != holds and sorted(theirs) == sorted(holds):
        return (
            f"{source.name} was trained on the columns of {target.name} in another order: give "
            f"source.domain.columns=[{','.join(holds)}]"
        )
    return None


def _vector_of(domain: Config) -> tuple[str, ...]:
    found: tuple[str, ...] = build(domain).vector
    return found


def _product(asked: Asked) -> Iterable[tuple[Option, Labels, Shared, Option, Option]]:
    """Yield arms; of a plan, which goes by seeds, sources vary fastest.

    Cells side by side then seldom wait for the same source's training.
    """
    shared = [Shared(*both) for both in product(asked.trainings, asked.tunings)]
    return product(asked.targets, asked.labels, shared, asked.strategies, asked.sources)


def _meant(asked: Asked) -> dict[tuple[Option, Option], bool]:
    """Return whether each training, and each source, is for what each target holds."""
    axes = ((asked.trainings, _meant_for), (asked.sources, _taken_by))
    return {
        (one, target): _is_meant(one, target, options, kind)
        for options, kind in axes
        for one, target in product(options, asked.targets)
    }


MEANT_FOR = {"images": "image", "small_images": "image", "text": "text", "vectors": "vector"}
"""What a kind of training is for."""


def _is_meant(
    one: Option, target: Option, asked: Sequence[Option], kind: Callable[[Option], str | None]
) -> bool:
    """Return whether an option is for what a target holds, if another one on its axis is."""
    if len(asked) == 1 or (own := kind(one)) is None:
        return True
    holds = modality(target.config)
    return own == holds or holds not in map(kind, asked)


def _meant_for(training: Option) -> str | None:
    kind = (training.config.get("about") or {}).get("kind")
    return MEANT_FOR.get(str(kind))


def _taken_by(source: Option) -> str:
    """Return what a source's network takes, or what its domain holds where it has none."""
    network = brings_network(source.config)
    return modality(architecture_of(source.config) if network else source.config)


def brings_network(source: Config) -> bool:
    """Return whether a source brings a network, or stands beside one that does."""
    of = source.get("of")
    return bool(source.get("architecture")) or (isinstance(of, dict) and brings_network(of))
