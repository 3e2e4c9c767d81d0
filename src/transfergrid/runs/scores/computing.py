"""Computes the scores of a source for a target from one pass of features, and keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from transfergrid.records.factory import build
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.ledgers.scores import Kept, Value, read, write
from transfergrid.records.printing import told_os
from transfergrid.records.provenance import commit, versions
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.planning.plan import Option
from transfergrid.runs.scores.features import FeaturePasses
from transfergrid.runs.scores.pairs import Pair


def compute(pair: Pair, scores: Sequence[Option], ledger: Ledger, passes: FeaturePasses) -> Kept:
    """Compute these scores of a pair from one pass, add them to those kept, and return all.

    Raises:
        BadInputError: source or target is not available.
    """
    kept, new = read(ledger, pair.id), _computed(pair, scores, passes)
    if kept is not None:
        values, names = {**kept.values, **new.values}, {**kept.names, **new.names}
        new = replace(new, values=values, names=names)
    try:
        write(ledger, new)
    except OSError as error:
        ledger.warn(f"scores of {pair.label} were not written down: {told_os(error)}")
    return new


def _computed(pair: Pair, scores: Sequence[Option], passes: FeaturePasses) -> Kept:
    clock = Stopwatch()
    features, notes = passes.of(pair.source.config, pair.target.config, pair.labels, pair.seed)
    spent = clock.total()
    values: Mapping[str, Value] = {s.digest: build(s.config)(features) for s in scores}
    return Kept(
        id=pair.id,
        source_parts=pair.source_parts,
        target_part=pair.target_part,
        source=pair.source.name,
        target=pair.target.name,
        labels=pair.labels,
        seed=pair.seed,
        notes=notes,
        values=dict(values),
        names={score.digest: score.name for score in scores},
        seconds=round(spent, 3),
        versions=versions(),
        commit=commit(),
    )
