"""The command `transfergrid`: it takes a verb, or Hydra overrides that request a grid of cells."""

from __future__ import annotations

import gc
import io
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout

from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.printing import complain, hearing, say, told_os, warn
from transfergrid.records.process import interrupts
from transfergrid.records.shipped import conf_dir
from transfergrid.verbs.configs.keys import check_no_key, is_verb, verb_first
from transfergrid.verbs.parser import fitting

HELP = {"--help", "-h"}
VERBS = {
    "verdicts": "transfergrid.verbs.verdicts",
    "report": "transfergrid.verbs.reporting",
    "table": "transfergrid.verbs.table",
    "calibrate": "transfergrid.verbs.calibrating",
    "rank": "transfergrid.verbs.ranking",
    "curves": "transfergrid.verbs.curves",
    "dashboard": "transfergrid.verbs.dashboarding",
    "track": "transfergrid.verbs.tracking_done",
    "explain": "transfergrid.verbs.explaining",
    "compare": "transfergrid.verbs.comparing_verdicts",
    "describe": "transfergrid.verbs.describing",
    "check": "transfergrid.verbs.checking",
    "list": "transfergrid.verbs.listing",
    "export": "transfergrid.verbs.exporting",
    "predict": "transfergrid.verbs.predicting",
    "reproduce": "transfergrid.verbs.reproducing",
    "cache": "transfergrid.verbs.caching",
    "tune": "transfergrid.verbs.tuning",
    "plan": "transfergrid.verbs.planning",
    "ledger": "transfergrid.verbs.ledgers",
    "status": "transfergrid.verbs.status",
}
"""The module of each verb, whose `command(arguments)` runs it."""
MOST_NAMED = 20
"""The largest number of skipped files that are named; further ones are only counted."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    interrupts.begin()
    try:
        sys.exit(_obey(words))
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        is_asked = isinstance(error, KeyboardInterrupt) or interrupts.was_raised()
        if is_asked and not (isinstance(error, SystemExit) and not error.code):
            complain(interrupts.told())  # even if a library wrapped it in an error of its own
            sys.exit(interrupts.EXIT_CODE)
        if isinstance(error, BadInputError):
            complain(error)
            sys.exit(2)
        if isinstance(error, BrokenPipeError):
            sys.stdout = None
            sys.exit(1)
        if isinstance(error, OSError):
            complain(told_os(error))
            sys.exit(2)
        raise


def _obey(words: list[str]) -> int:
    if words == ["--version"]:
        return _version()
    words = verb_first(words)
    return _verb(words) if is_verb(words) else _hydra(words)


def _version() -> int:
    from transfergrid.records.provenance import versions

    say(f"transfergrid {versions().get('transfergrid', 'unknown')}")
    return 0


def _verb(words: Sequence[str]) -> int:
    check_no_key(words[0], [*VERBS])
    check_known("verb", words[0], VERBS)
    from importlib import import_module

    command = import_module(VERBS[words[0]]).command
    with _naming_what_is_left_out(), interrupts.interruptible():
        code: int = command(words[1:])
        sys.stdout.flush()  # a full disk raises here, and not at Python's exit
    gc.freeze()  # else Python collects garbage among all objects at exit
    return code


@contextmanager
def _naming_what_is_left_out() -> Iterator[None]:
    """Warn at the end, also after an error, of the files that could not be used."""
    lines: dict[str, None] = {}
    try:
        with hearing(lines.setdefault):
            yield
    finally:
        for line in [*lines][:MOST_NAMED]:
            warn(line)
        if len(lines) > MOST_NAMED:
            warn(f"and {len(lines) - MOST_NAMED} more like these")


def _hydra(words: list[str]) -> int:
    """Pass the overrides to Hydra, whose sweeper is ours and exits with the exit code."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from transfergrid.verbs.configs import own_configs
    from transfergrid.verbs.configs.typed_words import COMPLETION, for_hydra, told

    if not COMPLETION & set(words):
        words = for_hydra(own_configs.use(words), [*VERBS])
        for file in own_configs.standing_in(conf_dir()):
            warn(f"{file} is read instead of the shipped {file.parent.name}/{file.name}")
    sys.argv = ["transfergrid", *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing
    decorate = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
    warnings.filterwarnings("error", r"provider=.* is not available", UserWarning)
    try:
        with hearing(warn), _fitting_help() if HELP & set(words) else nullcontext():
            decorate(_never)()
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise BadInputError(told(error)) from error
    except UserWarning as error:
        raise BadInputError(f"hydra.searchpath: {error}") from error
    return 0


@contextmanager
def _fitting_help() -> Iterator[None]:
    """Wrap Hydra's help to the terminal's width, as its lists of options may be long."""
    shown = io.StringIO()
    try:
        with redirect_stdout(shown):
            yield
    finally:  # Hydra may exit by itself
        for line in shown.getvalue().strip().splitlines():
            say(fitting(line, shutil.get_terminal_size().columns))


def _never(config: object) -> None:
    """Stand in for Hydra's job function, which our sweeper never calls."""


if __name__ == "__main__":
    main()
