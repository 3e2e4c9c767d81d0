"""The verb `tune`: choose default settings, by equal searches on development targets."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfergrid.records.errors import BadInputError
from transfergrid.records.needs import Baselines
from transfergrid.records.printing import say
from transfergrid.verbs.parser import Parser

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from transfergrid.records.record import Record
    from transfergrid.runs.launching.processes import Pool
    from transfergrid.runs.planning.plan import Asked, Option, Plan
    from transfergrid.verbs.configs.composing import Composer

USAGE = (
    "transfergrid tune source=NAME strategy=A,B,C target=NAME[,NAME] [training=NAME] "
    "[labels=2,20] [seed='range(3)'] [tuning=grid|random|optuna] [tuning.trials=8] "
    "[tuning.only=[lr_factor]] [tuning.held_out=20] [-o LOG.csv] "
    "[--format table|json|csv|markdown|latex]"
)
WITHOUT = {"tuning": "grid", "tuning.seed": "0", "references": "[]"}
"""The defaults of this verb: the same settings in all cells, and no reference arms."""


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid tune source=... strategy=... target=... [-o LOG.csv] [--format ...]`."""
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from transfergrid.verbs.asking import obeyed
    from transfergrid.verbs.configs.loading import loading
    from transfergrid.verbs.configs.typed_words import for_hydra

    chosen = _parser().parse_intermixed_args(arguments)
    log = Path(chosen.log) if chosen.log else None
    _check_typed(chosen.overrides, log)
    search = Search()
    with loading(chosen.overrides, chosen.config_dir) as (typed, loader):
        words = for_hydra([*typed, *_meant(typed)], ())
        config = loader.load_configuration("config", words, RunMode.MULTIRUN)
        _check(config)
        asked: Any = OmegaConf.to_container(config.hydra.overrides.task)
        study = config.hydra.sweeper.get("params")
        params: Any = OmegaConf.to_container(study) if study else {}
        quiet = chosen.format in ("json", "csv")
        with redirect_stdout(sys.stderr) if quiet else nullcontext():
            code = obeyed(asked, params, config, loader, search.run)
    if search.cells:
        search.show(chosen.format, log)
    return code


def _parser() -> Parser:
    parser = Parser(
        prog="transfergrid tune",
        usage=USAGE,
        description="Choose defaults: every strategy, scratch included, gets the same number of "
        "trials on development targets, which are no targets of a study; the best mean validation "
        "score over targets, label budgets and seeds is chosen. The cells are kept like all cells: "
        "the same command goes on where it was stopped.",
    )
    parser.add_argument("overrides", nargs="*", help="as for a grid; tuning.space sets other ends")
    parser.add_argument("-o", dest="log", metavar="FILE", help="write every trial there, as CSV")
    parser.add_format()
    parser.add_argument("--config-dir", help="a folder with configs of your own")
    return parser


def _meant(typed: Sequence[str]) -> list[str]:
    keys = _keys(typed)
    return [f"{key}={value}" for key, value in WITHOUT.items() if key not in keys]


def _check_typed(words: Sequence[str], log: Path | None) -> None:
    """Raise `BadInputError` if the words alone show that the search is impossible."""
    if log is not None and (log.is_dir() or not os.access(log.absolute().parent, os.W_OK)):
        raise BadInputError(f"-o {log}: give a file in a folder that is there")
    if "tuning=none" in words:
        raise BadInputError("tuning=none searches nothing: take grid, random or optuna")
    keys = _keys(words)
    for key in ("strategy", "target"):
        if not {key, "study"} & keys:
            raise BadInputError(
                f"tune also needs {key}=...: strategies to search for, and a development target "
                "that no study uses"
            )


def _keys(words: Sequence[str]) -> set[str]:
    return {word.partition("=")[0].lstrip("+") for word in words}


def _check(config: DictConfig) -> None:
    """Raise `BadInputError` if the request would make searches unequal or incomplete."""
    if config.debug:
        raise BadInputError("debug=true runs one cell: a search takes all of its cells")
    if config.baselines != "all":
        raise BadInputError(
            f"baselines={config.baselines}: a search is equal where the baselines search too"
        )


@dataclass
class Search:
    """Equal searches of several strategies, and their results."""

    cells: list[Record] = field(default_factory=list)
    """The records of the done cells."""
    kind: str | None = None
    """The kind of the training."""
    training: str = ""
    held_out: int | None = None

    def run(self, asked: Asked, composer: Composer, pool: Pool, config: DictConfig) -> int:
        """Run missing cells and return the exit code; see `asking.sweep`.

        Raises:
            BadInputError: nothing can be searched, or no default can be chosen.
        """
        from transfergrid.records.factory import build
        from transfergrid.records.tracking.sending import sending
        from transfergrid.report.wording.words import plural
        from transfergrid.verbs.sweep import carry_out, exit_code, get_ready

        training, tuning = _one("training", asked.trainings), _one("tuning", asked.tunings)
        self.training, self.kind = training.name, (training.config.get("about") or {}).get("kind")
        self.held_out = tuning.config.get("held_out")
        if self.held_out and "all" in asked.labels:
            raise BadInputError(
                f"tuning.held_out={self.held_out}: labels=all leaves nothing of the pool to judge "
                "by"
            )
        if training.config.get("selection") and not self.held_out:
            raise BadInputError(
                "a default is chosen by scores on labels, and training.selection compares without: "
                "tuning.held_out=20 sets labels aside"
            )
        both = _with_baseline(asked, composer)
        ready = get_ready(both, composer, pool, config, lambda plan: _searched(plan, tuning))
        ready.declared = None  # no verdict is needed
        with sending(build(pool.settings.tracking), pool.ledger.root):
            outcome = carry_out(ready, pool)
        if outcome.failed:
            say(f"{plural(outcome.failed, 'cell')} failed: means are of the others")
        if not outcome.left:
            ids = pool.ledger.done(cell.id for cell in ready.cells)
            self.cells = [pool.ledger.read(name) for name in sorted(ids)]
        return exit_code(outcome)

    def show(self, format: str, log: Path | None) -> None:
        """Print the chosen defaults, and write the log.

        Raises:
            BadInputError: no default can be chosen.
        """
        from transfergrid.evidence.chosen.defaults import defaults
        from transfergrid.report.planning import defaults_table
        from transfergrid.report.tables.sheet import show

        rows = defaults(self.cells)
        metric = self.cells[0].metric
        searched = defaults_table.Searched(self.training, self.kind, metric, self.held_out)
        if log is not None:
            _write(log, *defaults_table.log(self.cells))
        show(defaults_table.sheet(rows, searched), format)


def _one(group: str, options: Sequence[Option | None]) -> Any:
    if len(options) > 1:
        names = ", ".join(option.name for option in options if option)
        raise BadInputError(f"{group}={names}: defaults are chosen under one {group} at a time")
    return options[0]


def _with_baseline(asked: Asked, composer: Composer) -> Asked:
    """Return the request with the primary baseline among the strategies, as it must search too.

    Further baselines are added as in any grid.
    """
    name = Baselines().labelled
    if name is None or name in {option.name for option in asked.strategies}:
        return asked
    return replace(asked, strategies=[*asked.strategies, composer.option("strategy", name)])


def _searched(plan: Plan, tuning: Option) -> Plan:
    """Return the plan restricted to cells with a search; print which strategies have none.

    Raises:
        BadInputError: nothing is searched, or each cell would try its own settings.
    """
    cells = [cell for cell in plan.cells if cell.names.tuning is not None]
    names = [cell.names.strategy for cell in cells]
    without = sorted({cell.names.strategy for cell in plan.cells} - set(names))
    why = (
        "no label validates (tuning.held_out=20 sets labels aside that do), or there is nothing to "
        "search in its space"
    )
    if not cells:
        raise BadInputError(f"nothing is searched: {why}")
    if without:
        say(f"not searched, {', '.join(without)}: {why}", flush=True)
    _check_common(tuning, names)
    return replace(plan, cells=cells, wanted=plan.wanted & {cell.id for cell in cells})


def _check_common(tuning: Option, names: Sequence[str]) -> None:
    """Raise `BadInputError` if each cell of a strategy would try its own settings."""
    if tuning.config.get("warm_start"):
        raise BadInputError(
            f"{tuning.name}: defaults are chosen among settings that all cells tried, and a warm "
            "start is each cell's own: leave out tuning.warm_start"
        )
    several = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if several and (tuning.name.startswith("optuna") or tuning.config.get("seed") is None):
        raise BadInputError(
            f"{tuning.name}: each cell of {several[0]} would try other settings, and a default is "
            "chosen among those that all cells tried: take tuning=grid or tuning=random without "
            "tuning.seed=null, or one target, label budget and seed"
        )


def _write(file: Path, head: Sequence[str], rows: Sequence[Any]) -> None:
    from transfergrid.report.tables.escaping import CsvWriter

    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream)
        writer.row(head)
        writer.rows([row.get(key) for key in head] for row in rows)
