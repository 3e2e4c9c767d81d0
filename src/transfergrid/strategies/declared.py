"""What a strategy's class declares, readable without an instance or a network."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, get_args

from typing_extensions import override

from transfergrid.records.component import Component
from transfergrid.records.errors import check_known
from transfergrid.records.needs import (
    Assumption,
    Badge,
    Baselines,
    Needs,
    Setting,
    Statistics,
    Transferred,
    describe,
    usual_statistics,
)
from transfergrid.records.space import Space
from transfergrid.strategies.composition.offered import ADDITIONS

_OWN = ("stackable", "also_called", "variants", "badges", "assumes")
"""Declarations that are not inherited: a subclass declares its own, or has the default."""
_WORDS: dict[str, tuple[str, Any]] = {
    "setting": ("setting", Setting),
    "transfers": ("transfers", Transferred),
    "target_statistics": ("target_statistics", Statistics),
    "assumes": ("assumption", Assumption),
    "badges": ("badge", Badge),
}
"""For each declaration: what one word of it is called in an error, and the allowed words."""


class Declared(Component):
    """What planning reads of a strategy: needs, baselines, search space, other names.

    A subclass sets what differs from the defaults; `about` in its YAML repeats it. Unknown words
    raise an error when the class is defined.
    """

    group: ClassVar[str] = "strategy"
    needs: ClassVar[Needs] = Needs()
    baselines: ClassVar[Baselines] = Baselines()
    space: ClassVar[Space] = {}
    stackable: ClassVar[bool] = False
    """Whether `loss` is a pure function of parameters, buffers and batch.

    If so, several seeds may be trained stacked in one run. It is not inherited: each class declares
    it for its own losses.
    """
    moves_statistics: ClassVar[bool] = False
    """Whether unlabelled inputs update BatchNorm's running statistics, as part of the method."""
    target_statistics: ClassVar[Statistics | None] = None
    """What BatchNorm does with target batches, where that does not follow from `needs`.

    An example is a network that learns only in part. None: as `records.needs.usual_statistics`
    derives it.
    """
    setting: ClassVar[Setting] = "inductive"
    transfers: ClassVar[Transferred] = "parameters"
    also_called: ClassVar[tuple[str, ...]] = ()
    """Other usual names of the method, so that users who type one find it; not inherited."""
    variants: ClassVar[Mapping[str, str]] = {}
    """Usual names of the method with an option set, and the override to type; not inherited."""
    closed_to: ClassVar[Mapping[str, str]] = {}
    """Additions that the method cannot take, by key, each with the reason."""
    assumes: ClassVar[tuple[Assumption, ...]] = ()
    """What it assumes about the classes, of `records.needs.Assumption`; not inherited."""
    badges: ClassVar[tuple[Badge, ...]] = ()
    """What tests prove about it, of `records.needs.Badge`; not inherited."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Reset the declarations that are not inherited, and check all words.

        Raises:
            BadInputError: a declaration has an unknown word, or `needs.ordered_by` is no argument.
        """
        super().__init_subclass__(**kwargs)
        for name in _OWN:
            setattr(cls, name, vars(cls).get(name, getattr(Declared, name)))
        for name, (kind, known) in _WORDS.items():
            told = getattr(cls, name)
            for word in told if isinstance(told, tuple) else (told,):
                if word is not None:
                    check_known(f"{kind} of {cls.__name__}", word, get_args(known))
        if cls.needs.ordered_by:
            arguments = inspect.signature(cls).parameters
            check_known(f"needs.ordered_by of {cls.__name__}", cls.needs.ordered_by, arguments)

    @classmethod
    @override
    def about(cls) -> dict[str, Any]:
        kind: dict[str, Any] = {"setting": cls.setting, "transfers": cls.transfers}
        found = cls.target_statistics or usual_statistics(cls.needs, cls.moves_statistics)
        kind |= {"target_statistics": found} if found != "recorded" else {}
        kind |= {"stackable": True} if cls.stackable else {}
        kind |= {"optional": [*cls.optional, *taken]} if (taken := cls._additions()) else {}
        told = {
            "also_called": list(cls.also_called),
            "variants": dict(cls.variants),
            "badges": list(cls.badges),
            "assumes": list(cls.assumes),
        }
        kind |= {key: names for key, names in told.items() if names}
        return {**super().about(), **describe(cls.needs, cls.baselines, cls.space, kind)}

    @classmethod
    def _additions(cls) -> list[str]:
        """Return the keys of the additions that its constructor accepts."""
        taken = inspect.signature(cls).parameters
        return [addition.key for addition in ADDITIONS if addition.key in taken]
