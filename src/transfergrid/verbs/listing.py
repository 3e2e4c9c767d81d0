"""The verb `list`: what there is to choose from, one line of help each."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from transfergrid.evidence import selecting
from transfergrid.records.errors import check_known
from transfergrid.records.ledger import Ledger
from transfergrid.records.printing import say
from transfergrid.records.shipped import conf_dir
from transfergrid.verbs.finding import cell_lines
from transfergrid.verbs.own_configs import check_folder
from transfergrid.verbs.parser import Parser

KINDS = {
    "strategies": "strategy",
    "sources": "source",
    "targets": "target",
    "training": "training",
    "studies": "study",
    "tracking": "tracking",
    "scores": "score",
}

CELLS = "cells"
"""What is done, beside what there is to choose from."""


def command(arguments: Sequence[str]) -> int:
    """Obey `transfergrid list KIND [--config-dir DIR] [--results DIR] [--where CONDITIONS]`."""
    parser = Parser(prog="transfergrid list", description="List what there is to choose from.")
    parser.add_argument("kind", nargs="?", help=", ".join((*KINDS, CELLS)))
    parser.add_argument("--config-dir", help="a folder with configs of your own")
    parser.add_argument("--results", default="results", help="where cells are kept")
    parser.add_argument("--where", help=f"for {CELLS}: {selecting.HELP}")
    chosen = parser.parse_args(arguments)
    if chosen.kind == CELLS:
        where = selecting.Where.parse(chosen.where)
        say("\n".join(cell_lines(Ledger(chosen.results), where)))
        return 0
    kinds = list(KINDS) if chosen.kind is None else [chosen.kind]
    for kind in kinds:
        check_known("kind of thing to list", kind, (*KINDS, CELLS))
    folders = [conf_dir()]
    if chosen.config_dir:
        folders.append(Path(chosen.config_dir))
        check_folder(folders[-1])
    for kind in kinds:
        if chosen.kind is None:
            say(f"{kind}:")
        for name, help_line in sorted(options(KINDS[kind], folders).items()):
            say(_wrapped(f"{name:<20} {help_line}"))
    return 0


def _wrapped(line: str) -> str:
    """Return a line as the terminal takes it; elsewhere it stays one line for other programs."""
    if not sys.stdout.isatty():
        return line
    width = max(40, shutil.get_terminal_size().columns)
    return textwrap.fill(line, width, subsequent_indent=" " * 21)


def options(group: str, folders: Sequence[Path]) -> dict[str, str]:
    """Return a group's options with their line of help; later folders win."""
    found = {}
    for folder in folders:
        for path in sorted((folder / group).glob("*.yaml")):
            found[path.stem] = _help(path)
    return found


def _help(path: Path) -> str:
    config: Any = OmegaConf.load(path)
    told = OmegaConf.select(config, "about.help") or OmegaConf.select(config, "hydra.help.header")
    if told:
        return str(told)
    first = path.read_text().splitlines()[:1]
    return first[0].lstrip("# ") if first and first[0].startswith("#") else ""
