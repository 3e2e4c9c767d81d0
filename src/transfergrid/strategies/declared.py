"""What the class of a strategy says of it, before there is an object or a network."""

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
"""What a class says of itself alone: a subclass says it again, or goes without."""
_WORDS: dict[str, tuple[str, Any]] = {
    "setting": ("setting", Setting),
    "transfers": ("transfers", Transferred),
    "target_statistics": ("target_statistics", Statistics),
    "assumes": ("assumption", Assumption),
    "badges": ("badge", Badge),
}
"""What one word of each is called in an error, and those that there are."""


class Declared(Component):
    """What planning reads of a strategy: needs, baselines, space, and what it is called.

    A subclass sets what differs; a YAML's `about` says the same. Words that there are not are
    refused when the class is made.
    """

    group: ClassVar[str] = "strategy"
    needs: ClassVar[Needs] = Needs()
    baselines: ClassVar[Baselines] = Baselines()
    space: ClassVar[Space] = {}
    stackable: ClassVar[bool] = False
    """Whether `loss` is a pure function of parameters, buffers and batch: seeds may be stacked.

    It is not inherited: each class says so of its own losses.
    """
    moves_statistics: ClassVar[bool] = False
    """Whether unlabelled inputs move BatchNorm's running statistics, that being the method's."""
    target_statistics: ClassVar[Statistics | None] = None
    """What BatchNorm does with target batches, where that does not follow from needs.

    So in a network of which a part alone learns; None: as `records.needs.usual_statistics` has it.
    """
    setting: ClassVar[Setting] = "inductive"
    transfers: ClassVar[Transferred] = "parameters"
    also_called: ClassVar[tuple[str, ...]] = ()
    """Other usual names of the method, for whoever types one of them; not inherited."""
    variants: ClassVar[Mapping[str, str]] = {}
    """Usual names of it with an option, each with what is typed for that; not inherited."""
    closed_to: ClassVar[Mapping[str, str]] = {}
    """Why an addition, by its key, cannot be: the method is it already, or has another way."""
    assumes: ClassVar[tuple[Assumption, ...]] = ()
    """What of classes it takes for true, of `records.needs.Assumption`; not inherited."""
    badges: ClassVar[tuple[Badge, ...]] = ()
    """What tests prove of it, of `records.needs.Badge`; not inherited."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Forget what is not inherited, and check the words.

        Raises:
            BadInputError: one of them is a word that there is not.
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
        """Return the keys of what may be added to it."""
        taken = inspect.signature(cls).parameters
        return [addition.key for addition in ADDITIONS if addition.key in taken]
