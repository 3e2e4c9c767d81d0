"""The command `transfergrid`: a verb, or Hydra overrides that ask for a grid of cells."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from transfergrid import trust
from transfergrid.composing import GROUPS, KEYS
from transfergrid.errors import BadInputError, check_known, did_you_mean
from transfergrid.printing import hearing, one_line, say, warn

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
    "list": "transfergrid.verbs.listing",
    "export": "transfergrid.verbs.exporting",
    "predict": "transfergrid.verbs.predicting",
    "reproduce": "transfergrid.verbs.reproducing",
}
"""Verb to the module whose `command(arguments)` obeys it."""
COMPLETION = {"-sc", "--shell-completion"}
ASKS_FOR_TEXT = {"--cfg", "-c", "--info", "-i", "--help", "-h"}
MULTIRUN = ("-m", "--multirun")
LONGEST = 120
"""Characters of a path that are shown where it is too long for a disk."""
MOST_NAMED = 20
"""Files that are left out and named; of more the others are counted."""
CHECKED_LATER = (*GROUPS, "trainer", "tracking")
NO_CHOICE = ("=", "=null", "=None")


def conf_dir() -> Path:
    """Return the folder of the shipped configs: inside the installed package, or the checkout's."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; leaves with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words == ["--version"]:
            sys.exit(_version())
        sys.exit(_verb(words) if _is_verb(words) else _hydra(words))
    except BadInputError as error:
        say(f"transfergrid: {one_line(str(error))}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            sys.stdout = None
            sys.exit(1)
        say(f"transfergrid: {one_line(told_os(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def told_os(error: OSError) -> str:
    """Return in a line what a disk or a path did not take."""
    what = error.strerror or str(error) or type(error).__name__
    name = "" if error.filename is None else str(error.filename)
    return f"{_cut(name)}: {what}" if name else what


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}…"


def _is_verb(words: Sequence[str]) -> bool:
    """Is the first word neither an override nor an option?"""
    return bool(words) and not words[0].startswith(("-", "+", "~")) and "=" not in words[0]


def _version() -> int:
    from transfergrid.provenance import versions

    say(f"transfergrid {versions().get('transfergrid', 'unknown')}")
    return 0


def _verb(words: Sequence[str]) -> int:
    check_known("verb", words[0], VERBS)
    from importlib import import_module

    command = import_module(VERBS[words[0]]).command
    with _naming_what_is_left_out():
        code: int = command(words[1:])
    return code


@contextmanager
def _naming_what_is_left_out() -> Iterator[None]:
    """Name in the end, whatever the end, the files that could not be used; many are counted."""
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
    """Hand the overrides to Hydra, whose sweeper is ours and leaves with the exit code."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if not COMPLETION & set(words):
        words = allowing(words)
        asks = not ASKS_FOR_TEXT & set(words)
        words = [prepared(word, asks) for word in multirun_first(words)]
    sys.argv = ["transfergrid", *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise instead of printing; told in one line below
    decorate = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
    warnings.filterwarnings("error", r"provider=.* is not available", UserWarning)
    try:
        with hearing(warn):
            decorate(_never)()
    except (HydraException, OmegaConfBaseException) as error:
        raise BadInputError(told(error)) from error
    except UserWarning as error:
        raise BadInputError(f"hydra.searchpath: {error}") from error
    return 0


def allowing(words: Sequence[str]) -> list[str]:
    """Return the words without `--allow MODULE`, and allow what it says; see `trust`.

    Raises:
        BadInputError: no name follows, or one that is none.
    """
    rest, left = [], iter(words)
    for word in left:
        option, equals, value = word.partition("=")
        if option == "--allow":
            trust.allow(value if equals else next(left, ""))
        else:
            rest.append(word)
    return rest


def _never(config: object) -> None:
    """Stand for a job: the sweeper never starts one."""


def multirun_first(words: Sequence[str]) -> list[str]:
    """Return the words with `-m` in front: between overrides Hydra does not understand it."""
    multirun = [word for word in words if word in MULTIRUN and not ASKS_FOR_TEXT & set(words)]
    return multirun[:1] + [word for word in words if word not in MULTIRUN]


def prepared(word: str, runs: bool = False) -> str:
    """Return an override as Hydra's first composition takes it.

    That composition knows one option of each group only, while a key may belong to another one
    that is swept over: so keys inside groups are forced here, and checked option by option later.
    For a run, groups inside groups are written as sweeps, which that composition leaves out.

    Raises:
        BadInputError: the key is none of ours, or stands for what every cell has.
    """
    match = re.match(r"^([+~]*)([A-Za-z_]\w*)([.@/][^=]*)?(=.*)?$", word, re.DOTALL)
    if match is None or not (match.group(4) or word.startswith("~")):
        return word  # the value of an option, such as `--cfg job`
    sign, key, rest = match.group(1), match.group(2), match.group(3) or ""
    check_known("key", key, KEYS)
    if not rest and (sign == "~" or match.group(4) in NO_CHOICE):
        raise BadInputError(f"{word}: give a value for {key}, or leave this out")
    if key == "hydra" and rest == ".mode":
        raise BadInputError(f"{word}: one cell or many take the same path; leave this out")
    if runs and rest.startswith("@") and match.group(4) and "(" not in word:
        return f"{sign}{key}{rest}=choice({match.group(4)[1:]})"
    return f"++{word}" if not sign and key in CHECKED_LATER and rest.startswith(".") else word


def told(error: Exception) -> str:
    """Return a Hydra error as one line, with the nearest known word where one is unknown."""
    text = " ".join(str(error).split())
    unknown = re.search(r"Could not find '(?:\w+/)?(\w+)/([^']+)'", text)
    options = re.search(r"Available options in '[^']*': (.*?)(?: Config search path|$)", text)
    if unknown and options:
        group, name = unknown.groups()
        return f"unknown {group} {name!r}{did_you_mean(name, options.group(1).split())}"
    cause = error.__cause__ or error.__context__
    detail = " ".join(str(cause).split()) if cause is not None and str(cause) not in text else ""
    key = re.search(r"Key '[^']+' (?:is )?not in .*?full_key: ([\w./]+)", f"{text} {detail}")
    if key:
        return f"there is no key {key.group(1)}"
    return f"{text}{f' ({detail})' if detail else ''}"[:300]


if __name__ == "__main__":
    main()
