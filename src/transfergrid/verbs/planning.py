"""The verb `plan`: what a grid would run and roughly what it would take, before it starts."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from transfergrid.records.errors import ImpossibleError
from transfergrid.verbs.parser import Parser

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from transfergrid.records.cell import Cell
    from transfergrid.records.ledgers.ledger import Ledger
    from transfergrid.report.planning.plan_view import Foreseen, Standing, TrainedFirst
    from transfergrid.runs.planning.plan import Plan
    from transfergrid.verbs.rerunning import Rerun

SHARES = (0.1, 0.5)
"""Shares of the done cells from which the others are forecast, to check forecasts."""
SIZED = 50
"""The number of done cells whose folder size is measured."""
_CODE = ("code", "strategy_class")
"""The columns from which stale cells are determined."""


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid plan WORDS [--format FORMAT]`.

    Raises:
        BadInputError: the request is invalid.
    """
    from hydra.types import RunMode

    from transfergrid.records.ledgers.ledger import without_garbage_collection
    from transfergrid.verbs.configs.loading import loading
    from transfergrid.verbs.configs.typed_words import for_hydra

    chosen = _parser().parse_intermixed_args(arguments)
    quiet = chosen.format in ("json", "csv")
    with loading(chosen.overrides, chosen.config_dir) as (typed, loader):
        words = for_hydra(typed, ())
        config = loader.load_configuration("config", words, RunMode.MULTIRUN)
        aside = redirect_stdout(sys.stderr) if quiet else nullcontext()
        with aside, without_garbage_collection():
            found = _foreseen(config, loader)
    from transfergrid.report.planning.plan_view import sheet
    from transfergrid.report.tables.sheet import show

    show(sheet(found), chosen.format)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="transfergrid plan",
        usage="transfergrid plan KEY=VALUE ... [--format table|json|csv|markdown|latex]",
        description="Show what a grid would run and about how long that takes, before anything "
        "starts: take the words of the run and put plan before them. Nothing is written.",
    )
    parser.add_argument("overrides", nargs="*", help="as for a grid")
    parser.add_format()
    parser.add_argument("--config-dir", help="a folder with configs of your own")
    return parser


def _foreseen(config: DictConfig, loader: Any) -> Foreseen:
    from omegaconf import OmegaConf

    from transfergrid.evidence.forecast import COLUMNS, History, Took, checked
    from transfergrid.records.ledgers.ledger import Ledger
    from transfergrid.report.planning.plan_view import Foreseen
    from transfergrid.verbs.asking import read
    from transfergrid.verbs.rerunning import Rerun
    from transfergrid.verbs.sweep import compared_in, declare, make_plan, references_in, warnings_of

    asked_for: Any = OmegaConf.to_container(config.hydra.overrides.task)
    study = config.hydra.sweeper.get("params")
    params: Any = OmegaConf.to_container(study) if study else {}
    asked, composer, settings = read(asked_for, params, config, loader)
    declare(config, asked)
    ledger = Ledger(str(config.results))
    plan = make_plan(asked, composer, references_in(config), compared_in(config), ledger)
    plan = plan.without(_impossible(plan.cells))
    rows, kept = ledger.opened((*_CODE, *COLUMNS)) if ledger.exists() else ({}, set())
    standing = _standing(plan, ledger, Rerun(str(config.rerun)), rows, kept)
    to_run = [cell for cell in plan.cells if cell.id not in standing.done]
    took = [Took.of(row[len(_CODE) :]) for row in rows.values()]
    history = History(took)
    return Foreseen(
        asked=len(plan.wanted),
        standing=standing,
        left_out=[(skipped.label, skipped.reason) for skipped in plan.skipped],
        warnings=warnings_of(plan, asked),
        groups=history.groups(to_run),
        sources=_sources(to_run, ledger, took),
        once=_read_once(to_run),
        known=history.cells,
        checks=[found for share in SHARES if (found := checked(took, share)) is not None],
        workers=settings.workers,
        disk=_records_bytes(ledger, standing.done, len(to_run)),
        free=_free_bytes(ledger),
        keeps=settings.keep != "none",
    )


def _impossible(cells: Sequence[Cell]) -> dict[str, str]:
    """Return why some cells are impossible, as far as only the networks can tell.

    Raises:
        BadInputError: a part cannot be built as requested.
    """
    from transfergrid.records.cell import different_parts, pair_of

    by_strategy = {cell.parts.strategy: cell for cell in cells}
    odd = {part for part, cell in by_strategy.items() if cell.is_choosy}
    choosy = [cell for cell in cells if cell.parts.strategy in odd]
    if not choosy:
        return {}
    from transfergrid.runs.checking import check_parts

    reasons = {}
    for cell in different_parts(choosy):
        try:
            check_parts(cell)
        except ImpossibleError as error:
            reasons[pair_of(cell)] = str(error)
    return {c.id: reasons[pair_of(c)] for c in choosy if pair_of(c) in reasons}


def _standing(
    plan: Plan,
    ledger: Ledger,
    rerun: Rerun,
    rows: Mapping[str, tuple[Any, ...]],
    kept: Set[str],
) -> Standing:
    from transfergrid.records.files.folders import RUNNING, listed
    from transfergrid.records.ledgers.claims import now_held
    from transfergrid.records.provenance import stale_among
    from transfergrid.report.planning.plan_view import Standing

    ids = {cell.id for cell in plan.cells}
    anew = rerun.among(plan.cells, ledger)
    done = ledger.done(ids, kept) - anew
    stale = stale_among((name, *row[: len(_CODE)]) for name, row in rows.items()) & done
    tried = [*ledger.failures(), *ledger.failed_anew()] if ledger.exists() else []
    failed = {record.id for record in tried} & ids
    begun = {name.partition(".")[0] for name in listed(ledger.root / RUNNING)} & ids
    elsewhere = now_held(ledger.root, ids - done)
    return Standing(len(ids), done, stale, failed, begun - done - elsewhere, elsewhere, anew)


def _sources(cells: Sequence[Cell], ledger: Ledger, took: Iterable[Any]) -> list[TrainedFirst]:
    """Return the sources to be trained here for these cells, with their numbers."""
    from transfergrid.records.factory import build, locate
    from transfergrid.report.planning.plan_view import TrainedFirst

    made: dict[tuple[str, str], tuple[Any, set[int]]] = {}
    for cell in cells:
        source = cell.config["source"]
        if source is None or cell.needs.get("source") not in ("weights", "head"):
            continue
        if not getattr(locate(str(source.get("_target_"))), "made_here", False):
            continue
        seed = cell.seed if source.get("seed") == "block" else int(source.get("seed") or 0)
        made.setdefault((str(cell.names.source), str(cell.parts.source)), (source, set()))[1].add(
            seed
        )
    if not made:
        return []
    from transfergrid.runs.source_contents import content_of

    took_long = [one.source_seconds for one in took if one.source_seconds > 1]
    each = fmean(took_long) if took_long else None
    found = []
    for (name, _), (config, seeds) in made.items():
        source = build(config)
        places = [ledger.root / "sources" / content_of(source, seed) for seed in seeds]
        there = sum((place / "card.json").exists() for place in places)
        found.append(TrainedFirst(name, len(places), there, each))
    return found


def _read_once(cells: Iterable[Cell]) -> int:
    """Return how many cells use features of a frozen network that are computed once for all."""
    return sum(
        cell.needs.get("steps") is False and cell.needs.get("source") == "weights" for cell in cells
    )


def _records_bytes(ledger: Ledger, done: Iterable[str], to_run: int) -> int | None:
    """Return roughly how many bytes the records will take; None if no record is done."""
    sizes = [_bytes_in(ledger.folder(identity)) for identity in sorted(done)[:SIZED]]
    return round(fmean(sizes) * to_run) if sizes else None


def _free_bytes(ledger: Ledger) -> int:
    root = ledger.root.absolute()
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    return shutil.disk_usage(place).free


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
