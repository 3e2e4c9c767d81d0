"""One verdict: all that is known about an arm and its baseline, and the numbers behind it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transfergrid.evidence.measured.remarks import Remarks
from transfergrid.evidence.verdicts.decisions import POWER, Kind
from transfergrid.records.cell import PROTOCOL, Labels

TRANSFER, PLACEBO, CONTROL = "transfer", "placebo", "control"
NOTHING_ELSE = "nothing else"
"""Value of `without_flagged` for a verdict that rests on collapsed and underfit runs only."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The comparison of one source × strategy × target × labels with one baseline, or with none.

    Without a baseline it is a row of the table of gains, in which nothing is decided: see
    `measuring`.

    Scores, gains and their errors are in points (a score between 0 and 1 is multiplied by 100).
    Gains are oriented so that more is better. None means that the data cannot tell. The fields up
    to `notes` are the first columns of the JSON and CSV output, in this order; the other fields
    follow.
    """

    source: str | None
    architecture: str | None
    strategy: str
    target: str
    labels: Labels
    baseline: str
    """The baseline's name; empty for an arm without one."""
    n: int
    """Number of seed blocks in which both arms have a valid score; without a baseline, in which the
    arm has one."""
    gain: float | None
    low: float | None
    """Lower end of the *uncorrected* 95 % interval."""
    high: float | None
    p: float | None = None
    """Two-sided p value of the hypothesis of no gain, uncorrected."""
    p_corrected: float | None = None
    """The same, corrected for the family."""
    verdict: Kind = Kind.UNDECIDED
    detectable: float | None = None
    """The smallest gain that would have been found at the corrected level, with this `power`."""
    seeds_needed: int | None = None
    """Further seeds until a gain as large as the observed one (or the margin) would be found."""
    notes: tuple[str, ...] = ()
    """Warnings about this verdict, in words."""

    # What it rests on ----------------------------------------------------------------------------
    kind: str = TRANSFER
    """"transfer", or one of the kinds that are not part of its family: "placebo", or "control" (an
    arm without a source, such as `scratch_converged`)."""
    primary: bool = True
    """Whether the baseline is the arm's primary one."""
    family: str = ""
    """The name of the family: the comparisons that were corrected together."""
    family_size: int = 1
    training: str | None = None
    tuning: str | None = None
    """How settings were searched inside its cells; None if they were not searched."""
    trials: int = 1
    """Number of settings that each cell tried."""
    baseline_trials: int = 1
    labels_are: str = "class"
    """What the number of labels means: labels per "class", the "total", or "percent" of all."""
    block: str = "seed"
    """What one of the `n` blocks is; in foreign tables it may be something else than a seed."""
    metric: str = "accuracy"
    unit: str = "%"
    mean: float | None = None
    """Mean test score of the arm over its paired seeds."""
    baseline_mean: float | None = None
    beside: tuple[tuple[str, float], ...] = ()
    """Mean scores of the arms without source and network, by strategy: what little effort achieves
    on the same target and labels."""
    validation: float | None = None
    """Mean validation score of the arm. Arms are recommended by this score, never by the test
    score."""
    scope: str | None = None
    """What the interval covers: "seeds and test items", "seeds and groups of test items", "this
    test set" or "this model"."""
    se: float | None = None
    df: float | None = None
    level: float = 0.05
    """The error level that the family may use at this look; see `looks`."""
    margin: float = 1.0
    """The margin, in the unit of the scores."""
    point: float = 1.0
    """The size of one point (the unit in which margins are declared) in the unit of the scores; see
    `records.points`."""
    power: float = POWER
    """The power that `detectable` and `seeds_needed` are computed with."""
    beyond_margin: bool = False
    """Whether the whole interval lies above the margin, or below minus the margin."""
    p_equivalent: float | None = None
    """Corrected p value of the hypothesis that the gain lies outside the margin."""
    p_harm: float | None = None
    """Corrected, one-sided p value of the hypothesis of a loss of the margin or more."""
    p_gain: float | None = None
    """Corrected, one-sided p value of the hypothesis of a gain of the margin or more."""
    harm_ruled_out: bool = False
    """Whether a loss of the margin is ruled out, also if the verdict itself is a stronger one."""
    gain_ruled_out: bool = False
    unseen_bad_seed_rate_95: float | None = None
    """Where harm is ruled out: the largest share of bad seeds, 0 to 1, that is still compatible at
    95 % with `n` seeds that are all good."""
    break_rate: float | None = None
    """For a decided verdict: the share of seeds that would undo it if they collapsed to chance; see
    `unseen`."""
    collapse_rate_95: float | None = None
    """Upper 95 % bound of the share of seeds that collapse, from all runs of this strategy and
    source in the ledger."""
    breaks_by_baseline: bool = False
    """Whether `break_rate` and `collapse_rate_95` are about the seeds of the baseline."""
    seeds_needed_low: int | None = None
    """Lower end of the range of `seeds_needed`, which is uncertain because few seeds tell little
    about the noise over seeds."""
    seeds_needed_high: int | None = None
    """Upper end of the range; None if it exceeds the largest number of seeds that is searched."""
    seeds_for_harm: int | None = None
    """Further seeds until harm would be ruled out, if the true gain equals the observed one."""
    constant: bool = False
    """Whether all seeds have the same gain, as deterministic models have."""
    fragile: bool = False
    """Whether the verdict changes without collapsed, underfit and fallen runs of either side."""
    without_flagged: str = ""
    """The name of the verdict without these runs, if it differs; `NOTHING_ELSE` if no pair is left
    and all runs of the baseline are flagged."""
    one_checkpoint: bool = False
    """Whether it is about one set of source weights, not about a way of training them."""
    weak_baseline: bool = False
    """Whether the baseline scores below a classical learner on the target's labels alone."""
    contaminated_by: tuple[str, ...] = ()
    """The datasets that contain the target and that the source was trained on."""
    unpaired: int = 0
    """Number of the arm's cells whose baseline is missing, failed or has no valid score."""
    failed: int = 0
    collapsed: int = 0
    underfit: int = 0
    baseline_collapsed: int = 0
    """Number of the baseline's paired runs that collapsed; the next counts those that underfit."""
    baseline_underfit: int = 0
    fallen: int = 0
    """Number of pairs with a run that fell far below the other seeds of its arm; see `fallen`."""
    stale: int = 0
    items: int = 1
    """Number of test items, or groups of them (see `scope`), crossed with the seeds; 1 if not
    crossed."""
    items_share: float | None = None
    """The share of SE² that is due to test items, which further seeds do not reduce."""
    items_floor: float | None = None
    """Half-width of the 95 % interval that would remain with infinitely many seeds, due to test
    items alone."""
    seconds: float | None = None
    """Mean wall-clock time of a cell in seconds, without training its source."""
    source_seconds: float | None = None
    """The longest time in seconds that one of the cells spent on training its source."""
    seeds: tuple[int, ...] = ()
    gains: tuple[float, ...] = ()
    """The gain of each seed block, in the order of `seeds`."""
    cells: tuple[str, ...] = ()
    """The ids of the arm's cells, in the order of `seeds`."""
    baseline_cells: tuple[str, ...] = ()
    source_part: str | None = None
    """Digest of the source's config, as in `Record.parts`; likewise the next four."""
    strategy_part: str | None = None
    target_part: str | None = None
    training_part: str | None = None
    tuning_part: str | None = None
    labels_got: tuple[int, int] | None = None
    """The smallest and largest number of labels that a class got, if they differ from `labels`."""
    reference: str = ""
    """The baseline's name in the cells; `baseline` adds what distinguishes baselines with the same
    name."""

    # The arm, whatever it is compared with -------------------------------------------------------
    arm_n: int = 0
    """Number of its seeds with a valid score, paired or not."""
    arm_mean: float | None = None
    """Mean test score over these seeds."""
    arm_sd: float | None = None
    """Standard deviation over these seeds; None for fewer than two."""
    is_baseline: bool = False
    """Whether another arm is compared with this one, or this one has no baseline."""
    group: str | None = None
    """The group of test items that it is restricted to; None for all items."""
    protocol: int = PROTOCOL
    """The protocol of its cells; a grid of the current protocol runs the cells of an earlier one
    again."""
    remarks: Remarks = field(default_factory=Remarks)
    """What the records of its cells say about their data, if these were read; not a column."""

    def but(self, **changes: Any) -> Verdict:
        """Return a copy with some fields changed; ten times as fast as `dataclasses.replace`."""
        unknown = changes.keys() - vars(self).keys()
        if unknown:
            raise TypeError(f"a verdict has no {', '.join(sorted(unknown))}")
        found = object.__new__(Verdict)
        vars(found).update(vars(self), **changes)
        return found

    def as_in_ledger(self, ids: Mapping[str, str]) -> Verdict:
        """Return a copy with the source and cell ids as the ledger names them.

        Args:
            ids: the ledger's id of each cell that was judged under another id. In these, a suffix
                after "#" distinguished the sources; it is removed.
        """
        source = (self.source or "").partition("#")[0]
        return self.but(source=source, cells=tuple(ids.get(cell, cell) for cell in self.cells))

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict by field name, ready for JSON or a data frame: all output columns.

        Enums become strings and tuples become lists. Numbers that are not finite become None.
        """
        return {key: _plain(value) for key, value in vars(self).items() if key != "remarks"}


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, int, bool):  # the common case, of a million values
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, tuple):
        texts = bool(value) and isinstance(value[0], str)  # thousands of cell ids
        return list(value) if texts else [_plain(item) for item in value]
    return str(value) if isinstance(value, Kind) else value


FIELDS = tuple(each.name for each in dataclasses.fields(Verdict) if each.name != "remarks")
"""The columns of the JSON and CSV output."""
COLUMNS = FIELDS[:16]
"""The columns that every output has."""
