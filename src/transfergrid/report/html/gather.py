"""From a ledger to what the report shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from transfergrid.evidence.gains import points
from transfergrid.evidence.judged import Bench
from transfergrid.evidence.results import Result
from transfergrid.evidence.verdicts import Verdict
from transfergrid.ledger import Ledger
from transfergrid.provenance import code_fingerprint, versions
from transfergrid.report.declared import declared_lines
from transfergrid.report.html.data import CellFacts, ReportData
from transfergrid.report.words import told
from transfergrid.selecting import Where


def report_data(bench: Bench, *, title: str = "", where: str = "") -> ReportData:
    """Return what a report of a ledger shows.

    Args:
        bench: the ledger, or those cells of it that are meant.
        title: instead of the question.
        where: which arms are shown; they are corrected beside all others.
    """
    results, rules = bench.results, bench.declaration.rules
    judged = bench.verdicts(code=code_fingerprint)
    verdicts = Where.parse(where).rows(judged) if where else judged
    return ReportData(
        verdicts=tuple(verdicts),
        over_baselines=_over_others(bench),
        rules=rules,
        title=title,
        lower_is_better=frozenset(c.metric.name for c in results if not c.metric.higher_is_better),
        cells=facts(results),
        configs=configs(bench.ledger, results),
        failed=tuple(told(bench.failures)),
        declaration=(*declared_lines(bench, rules, judged), *_restricted(where)),
        made=_made(bench),
    )


def _restricted(where: str) -> tuple[str, ...]:
    return (f"Shown where {where}; corrected for all arms of each family.",) if where else ()


def _over_others(bench: Bench) -> dict[str, tuple[Verdict, ...]]:
    names = sorted({other.name for cell in bench.results for other in cell.exploratory})
    return {name: tuple(bench.verdicts(name)) for name in names}


def _made(bench: Bench) -> tuple[str, ...]:
    last = max(bench.results, key=lambda cell: cell.finished or "", default=None)
    lines = [f"Made from {len(bench.results)} cells by transfergrid {_version()}."]
    if last is not None:
        record = bench.ledger.read(last.id)
        libraries = ", ".join(f"{name} {version}" for name, version in record.versions.items())
        lines.append(
            f"The newest cell, {last.id}, ended at {last.finished or 'a time that is not known'}: "
            f"commit {record.commit or 'not known'}; {libraries}; {record.machine.device}."
        )
    return tuple(lines)


def _version() -> str:
    return versions().get("transfergrid", "of an unknown version")


def configs(ledger: Ledger, results: Iterable[Result]) -> dict[str, dict[str, Any]]:
    """Return the config of each part that any cell has, by its digest."""
    found: dict[str, dict[str, Any]] = {}
    for cell in results:
        missing = [part for part in _parts(cell) if part[1] not in found]
        if missing:
            config = ledger.read(cell.id).config
            found |= {digest: flat(config.get(part) or {}, part) for part, digest in missing}
    return found


def _parts(cell: Result) -> list[tuple[str, str]]:
    parts = cell.parts
    digests = {"source": parts.source, "strategy": parts.strategy, "target": parts.target}
    named = {**digests, "training": parts.training}
    return [(name, digest) for name, digest in named.items() if digest]


def facts(results: Iterable[Result]) -> dict[str, CellFacts]:
    """Return what the page tells of each cell."""
    return {cell.id: _facts(cell) for cell in results}


def _facts(cell: Result) -> CellFacts:
    scale = points(cell.metric)
    flags = (("collapsed", cell.flags.collapsed), ("underfit", cell.flags.underfit))
    return CellFacts(
        seed=cell.seed,
        score=None if cell.score is None else scale * cell.score,
        validation=None if cell.validation_score is None else scale * cell.validation_score,
        seconds=None if cell.seconds is None else cell.seconds - (cell.source_seconds or 0.0),
        flags=tuple(name for name, is_so in flags if is_so),
        parts=tuple(digest for _, digest in _parts(cell)),
        finished=cell.finished,
    )


def flat(config: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return a config as dotted keys and plain values, without what only describes it."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if key == "about":
            continue
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}.{key}")
        else:
            found[f"{prefix}.{key}"] = value
    return found
