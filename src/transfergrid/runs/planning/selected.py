"""Choosing a step without target labels, as planning sees it: which cells it applies to.

Cells that are given target labels validate by them. What the training says about choosing without
labels is then not part of their config, and does not change their identity.
"""

from __future__ import annotations

from transfergrid.records.cell import Labels
from transfergrid.records.needs import Needs
from transfergrid.records.selection import KEYS, OF_SOURCE
from transfergrid.runs.planning.plan import Option, less


def looks(training: Option) -> bool:
    """Return whether a training asks to look at runs without target labels."""
    return any(training.config.get(key) for key in KEYS)


def selected(training: Option, labels: Labels) -> Option:
    """Return a training without the keys that do not apply at this label budget."""
    says = {key: training.config[key] for key in KEYS if training.config.get(key) is not None}
    kept = {key: value for key, value in says.items() if labels == 0 and value is not False}
    if says == kept:
        return training
    name = training.name
    for key in says.keys() - kept.keys():
        name = less(name, key)
    return Option(name, {**training.config, **dict.fromkeys(KEYS), **kept}, training.typed)


def unselectable(
    strategy: str, needs: Needs, of_numbers: bool, training: Option, labels: Labels
) -> str | None:
    """Return why a cell's step cannot be chosen as its training asks; None if it can.

    Args:
        strategy: name of the strategy.
        needs: its needs.
        of_numbers: whether the target's labels are numbers.
        training: the training that all arms share.
        labels: the cell's label budget.
    """
    if labels != 0 or not needs.steps or not looks(training):
        return None
    if of_numbers:
        return "training.selection and training.oracle are of classes, and the target holds numbers"
    rule = training.config.get("selection")
    if rule in OF_SOURCE and not needs.domains:
        return (
            f"training.selection={rule} judges by examples of a labelled source domain, and "
            f"{strategy} learns from none"
        )
    return None
