"""The rules that choose without target labels, each compared with the oracle."""

from __future__ import annotations

from collections.abc import Sequence

from transfergrid.evidence.chosen.oracle_gap import RuleGap
from transfergrid.report.tables.columns import Align, Column
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.views.verdict_views import LEAST, sheet
from transfergrid.report.wording.words import Symbols

LEGEND = (
    "How a step is chosen without target labels, each rule over the same looks at the same runs. "
    "lost: points less on test than the oracle, the best test score among a run's looks, which no "
    "rule may see and which is no result: mean (most). below: runs under their baseline, both "
    "chosen by the rule. turned: of the runs that gain by the oracle, those that the rule puts "
    "under their baseline. share: of the class that its choices predict most often, the mean; "
    "entropy and snd find a model that predicts one class for everything the best there is. "
    "Each strategy by itself: --format csv or json."
)


def rules(found: Sequence[RuleGap]) -> Sheet:
    """Return a sheet with the loss of each rule, one line each.

    Its rows as data have each strategy's own as well.
    """

    def columns(_: Symbols) -> list[Column[RuleGap]]:
        return [
            Column("rule", lambda gap: gap.rule, least=LEAST),
            Column("lost", lambda gap: f"{gap.lost:.1f} ({gap.most_lost:.1f})", Align.NUMBER),
            Column("below", lambda gap: f"{gap.below} of {gap.compared}", Align.RIGHT),
            Column("turned", lambda gap: f"{gap.turned} of {gap.gained}", Align.RIGHT),
            Column("share", lambda gap: f"{100 * gap.largest_share:.0f} %", Align.RIGHT),
            Column("runs", lambda gap: str(gap.runs), Align.RIGHT),
        ]

    shown = [gap for gap in found if gap.strategy is None]
    return sheet(shown, [gap.as_dict() for gap in found], columns, lambda _: LEGEND)
