"""Use the source's own weights and head on the target as they are."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from transfergrid.records.needs import Baselines, Needs, Setting
from transfergrid.strategies.base import Sizes, Strategy
from transfergrid.strategies.phases import Phase


class SourceModel(Strategy):
    """The source's own weights and head, and no step: what source-free adaptation begins with.

    `source_only` trains on the source domain anew, for as many steps as other arms take. This one
    is the model that the source came with, however it was trained: the gain of `adabn` and `tent`
    over it is due to their adaptation alone.

    Formula:
        C(F(x)), both the source's
    Try it:
        where the target has no labels and the source's examples are not at hand
    Cost:
        none
    Source:
        Ben-David et al. 2010, A theory of learning from different domains, Machine Learning 79:
        the error that a source model has on the target
    """

    needs: ClassVar[Needs] = Needs(
        source="head",
        target_labels="unused",
        classes="same",
        steps=False,
        tasks=("classification",),
    )
    baselines: ClassVar[Baselines] = Baselines(labelled=None)
    setting: ClassVar[Setting] = "transductive"
    also_called = ("zero_shot_source", "unadapted")
    badges = ("formula_exact",)

    def __init__(self) -> None:
        super().__init__()

    @override
    def build(self, sizes: Sizes) -> None:
        take_head(self)

    @override
    def phases(self) -> list[Phase]:
        return [Phase("as it is", reads=())]


def take_head(strategy: Strategy) -> None:
    """Copy the source's head, whose outputs are in the target's class order, into the strategy's.

    Then `source_head` is deleted. Where a trained strategy is rebuilt to predict there is no source
    head, and nothing happens: the head will be restored.
    """
    if hasattr(strategy, "source_head"):
        given = strategy.source_head.state_dict()  # some heads have no bias
        bias = given.get("bias", given["weight"].new_zeros(len(given["weight"])))
        strategy.task.fill(strategy.head, given["weight"], bias)
        del strategy.source_head
