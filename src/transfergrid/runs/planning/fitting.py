"""Impossible combinations: which source, strategy and target do not go together, and why."""

from __future__ import annotations

from transfergrid.records.cell import Labels
from transfergrid.records.factory import Config, build, locate
from transfergrid.records.identity import architecture_of, digest
from transfergrid.records.metrics import CLASSES
from transfergrid.records.needs import Needs
from transfergrid.runs.planning import several
from transfergrid.runs.planning.kinds import (
    PLURAL,
    WHAT,
    brings_network,
    has_labels,
    is_episodic,
    is_labelled,
    modality,
    taken_by,
    task_of,
)
from transfergrid.runs.planning.pairs import unsuitable
from transfergrid.runs.planning.plan import Option
from transfergrid.runs.planning.zero_shot import all_seen


class Fitting:
    """Says why parts do not go together; each combination and each domain is checked once."""

    def __init__(self) -> None:
        self._classes: dict[str, tuple[str, ...]] = {}
        self._reasons: dict[tuple[Option | None, Option, Option, bool], str | None] = {}

    def reason(
        self, source: Option | None, strategy: Option, target: Option, labels: Labels
    ) -> str | None:
        """Return why a cell of these parts is impossible; None if it is possible.

        Raises:
            BadInputError: a domain cannot be used as it is.
        """
        key = (source, strategy, target, labels == 0)
        if key not in self._reasons:
            self._reasons[key] = self._reason(source, strategy, target, labels)
        return self._reasons[key]

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
        takes, holds = taken_by(source), modality(target.config)
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
        """Return why what the source learned is not what the strategy needs; None if it is."""
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
        """Return the names of a domain's classes or outputs; check the domain at its first use.

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
        """Return the name of a domain that lacks needed descriptions of classes; None if none."""
        asked = [(target.name, target.config)]
        if needs.domains and source.config.get("domain") is not None:
            asked.append((f"the domain of {source.name}", source.config["domain"]))
        for name, domain in asked:
            self.classes(domain)  # checks it
            if not build(domain).is_described:
                return name
        return None

    def _unnamed(self, source: Option, strategy: Option, target: Option) -> str | None:
        """Return why a strategy cannot tell the target's classes by texts; None if it can.

        Raises:
            BadInputError: the texts of the classes cannot be used.
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


def other_vectors(source: Option, target: Option) -> str | None:
    """Return why a source of vectors does not take the target's vectors; None if it does.

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
