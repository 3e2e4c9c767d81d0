"""Choosing without target labels, as planning sees it: for which cells that is.

What a training says of it is no part of cells that are given target labels: they stay what they
are, and validate by these.
"""

from __future__ import annotations

from transfergrid.records.cell import Labels
from transfergrid.records.needs import Needs
from transfergrid.records.selection import KEYS, OF_SOURCE
from transfergrid.runs.planning.plan import Option, less


def looks(training: Option) -> bool:
    """Whether a training asks for looks at runs without target labels."""
    return any(training.config.get(key) for key in KEYS)


def selected(training: Option, labels: Labels) -> Option:
    """Return a training as it is for cells that are given so many target labels."""
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
    """Return why a cell's step cannot be chosen as its training asks for, if so.

    Args:
        strategy: its name.
        needs: of it.
        of_numbers: whether the target's labels are numbers.
        training: what all arms share.
        labels: that the cell is given.
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
