"""One verdict: everything that is said of an arm against its baseline, with what it rests on."""

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
"""Of a verdict that rests on collapsed and underfit runs alone."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One source × strategy × target × labels against one baseline, or against nothing.

    The latter is a row of the table of gains, in which nothing is decided: see `measuring`.

    Scores, gains and their errors are in points (scores from 0 to 1 count as 100 of them), gains
    oriented so that more is better. What the data cannot tell is None. The fields up to `notes` are
    the columns of the JSON and CSV output, in this order; the others follow them.
    """

    source: str | None
    architecture: str | None
    strategy: str
    target: str
    labels: Labels
    baseline: str
    """Empty for an arm that is compared with nothing."""
    n: int
    """Seed blocks in which both arms have a valid score, or the one that there is."""
    gain: float | None
    low: float | None
    """Lower end of the *uncorrected* 95 % interval."""
    high: float | None
    p: float | None = None
    """Two-sided, of no gain, uncorrected."""
    p_corrected: float | None = None
    """Corrected for the family."""
    verdict: Kind = Kind.UNDECIDED
    detectable: float | None = None
    """The smallest gain that would have been found at the corrected level, with `power`."""
    seeds_needed: int | None = None
    """Further seeds until a gain as large as the observed one (or the margin) would be found."""
    notes: tuple[str, ...] = ()
    """What a reader must know of it, in words."""

    # What it rests on ----------------------------------------------------------------------------
    kind: str = TRANSFER
    """"transfer", or what stays out of its family: "placebo", or "control" (an arm without any
    source, such as `scratch_converged`)."""
    primary: bool = True
    """Whether the baseline is the arm's primary one."""
    family: str = ""
    """Names the comparisons that were corrected together."""
    family_size: int = 1
    training: str | None = None
    tuning: str | None = None
    """How settings were looked for inside its cells; None where none were."""
    trials: int = 1
    """Settings that each cell tried."""
    baseline_trials: int = 1
    labels_are: str = "class"
    """What a number of labels counts: those of a "class", the "total", or "percent" of all."""
    block: str = "seed"
    """What each of the `n` blocks is; another thing than a seed in tables made elsewhere."""
    metric: str = "accuracy"
    unit: str = "%"
    mean: float | None = None
    """Mean test score of the arm over these, its paired seeds."""
    baseline_mean: float | None = None
    beside: tuple[tuple[str, float], ...] = ()
    """Mean scores of the arms that need no source and no network, by strategy: what little effort
    gives on the same target and labels."""
    validation: float | None = None
    """Mean validation score of the arm; by this, never by the test score, an arm is recommended."""
    scope: str | None = None
    """What the interval covers: "seeds and test items", "seeds and groups of test items", "this
    test set" or "this model"."""
    se: float | None = None
    df: float | None = None
    level: float = 0.05
    """The error allowed to the family at this look; see `looks`."""
    margin: float = 1.0
    """In the unit of the scores."""
    point: float = 1.0
    """How large a point, of which a margin is declared, is in that unit; see `records.points`."""
    power: float = POWER
    """With which `detectable` and `seeds_needed` hold."""
    beyond_margin: bool = False
    """Whether the whole interval lies past the margin on one side."""
    p_equivalent: float | None = None
    """Corrected, of a gain outside the margin."""
    p_harm: float | None = None
    """Corrected, one-sided, of a loss of the margin or more."""
    p_gain: float | None = None
    """Corrected, one-sided, of a gain of the margin or more."""
    harm_ruled_out: bool = False
    """Whether a loss of the margin is ruled out, be the verdict that or a stronger one."""
    gain_ruled_out: bool = False
    unseen_bad_seed_rate_95: float | None = None
    """Where harm is ruled out: the largest share of bad seeds, 0 to 1, that so many seeds may all
    have missed, at 95 %."""
    break_rate: float | None = None
    """Of a decided verdict: the share of seeds that would undo it if they collapsed; see
    `unseen`."""
    collapse_rate_95: float | None = None
    """The share that may, at 95 %, by all runs of that strategy and source that there are."""
    breaks_by_baseline: bool = False
    """Whether these two are of the baseline's seeds."""
    seeds_needed_low: int | None = None
    """Lower end of `seeds_needed`, for the noise over seeds is known from few; so the next."""
    seeds_needed_high: int | None = None
    """None where it is beyond what is asked for."""
    seeds_for_harm: int | None = None
    """Further seeds until harm would be ruled out, if the gain is what it was seen to be."""
    constant: bool = False
    """Whether all seeds have the same gain, as deterministic models have."""
    fragile: bool = False
    """Whether the verdict is another one without collapsed, underfit and fallen runs of either
    side."""
    without_flagged: str = ""
    """Which one it then is; `NOTHING_ELSE` where no pair of runs is left."""
    one_checkpoint: bool = False
    """Whether it speaks of one set of source weights, and not of a way of making them."""
    weak_baseline: bool = False
    """Whether the baseline scores below a classical learner on the target's labels alone."""
    contaminated_by: tuple[str, ...] = ()
    """Datasets that hold the target and that the source was trained on."""
    unpaired: int = 0
    """Cells of the arm whose baseline is missing, failed or without a valid score."""
    failed: int = 0
    collapsed: int = 0
    underfit: int = 0
    baseline_collapsed: int = 0
    """Of the baseline's paired runs; so the next."""
    baseline_underfit: int = 0
    fallen: int = 0
    """Pairs with a run that fell far below its arm's other seeds; see `fallen`."""
    stale: int = 0
    items: int = 1
    """Test items, or groups of them (see `scope`), crossed with the seeds; 1 if they were not."""
    items_share: float | None = None
    """What part of SE² comes of test items, which further seeds do not lessen."""
    items_floor: float | None = None
    """Half the 95 % interval that would remain with endlessly many seeds, from test items alone."""
    seconds: float | None = None
    """Mean wall-clock time of a cell, without training its source."""
    source_seconds: float | None = None
    """The longest time that one of the cells spent on training its source."""
    seeds: tuple[int, ...] = ()
    gains: tuple[float, ...] = ()
    """Of each seed block, in the order of `seeds`."""
    cells: tuple[str, ...] = ()
    """The arm's cells by identity, in the order of `seeds`."""
    baseline_cells: tuple[str, ...] = ()
    source_part: str | None = None
    """Digest of the source's config, as in `Record.parts`; so for the other three."""
    strategy_part: str | None = None
    target_part: str | None = None
    training_part: str | None = None
    tuning_part: str | None = None
    labels_got: tuple[int, int] | None = None
    """Fewest and most labels that a class got, where these are others than `labels`."""
    reference: str = ""
    """The baseline as the cells name it; `baseline` tells apart those that share a name."""

    # The arm, whatever it is compared with -------------------------------------------------------
    arm_n: int = 0
    """Its seeds with a valid score, paired or not."""
    arm_mean: float | None = None
    """Mean test score over these."""
    arm_sd: float | None = None
    """Over these; None for fewer than two."""
    is_baseline: bool = False
    """Whether another arm is compared with this one, or this one with nothing."""
    group: str | None = None
    """The group of test items that it is about; None for all."""
    protocol: int = PROTOCOL
    """Of its cells; a grid of today runs those of an earlier one anew."""
    remarks: Remarks = field(default_factory=Remarks)
    """What its cells remark about their data, where their records were read; no column."""

    def but(self, **changes: Any) -> Verdict:
        """Return it with some fields changed, as `replace` does in ten times the time."""
        unknown = changes.keys() - vars(self).keys()
        if unknown:
            raise TypeError(f"a verdict has no {', '.join(sorted(unknown))}")
        found = object.__new__(Verdict)
        vars(found).update(vars(self), **changes)
        return found

    def as_in_ledger(self, ids: Mapping[str, str]) -> Verdict:
        """Return it of cells as a ledger names them.

        Args:
            ids: of cells that were judged under another identity, theirs in the ledger; their
                source was told apart by what stands behind a "#".
        """
        source = (self.source or "").partition("#")[0]
        return self.but(source=source, cells=tuple(ids.get(cell, cell) for cell in self.cells))

    def as_dict(self) -> dict[str, Any]:
        """Return it by field name, ready for JSON or a data frame: the columns of every output.

        Enums are text, tuples lists; None is what the data cannot tell, be it no finite number.
        """
        return {key: _plain(value) for key, value in vars(self).items() if key != "remarks"}


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, int, bool):  # most of a million
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, tuple):
        texts = bool(value) and isinstance(value[0], str)  # thousands of identities
        return list(value) if texts else [_plain(item) for item in value]
    return str(value) if isinstance(value, Kind) else value


FIELDS = tuple(each.name for each in dataclasses.fields(Verdict) if each.name != "remarks")
"""The columns of the JSON and CSV output."""
COLUMNS = FIELDS[:16]
"""Those that every output has."""
