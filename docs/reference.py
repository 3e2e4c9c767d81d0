"""The reference of every verb, key and part, made from the code and the configs themselves.

python docs/reference.py FOLDER
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import os
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from transfergrid.records.factory import locate
from transfergrid.records.files.arrays import CURVES, PREDICTIONS
from transfergrid.records.record import documented_keys
from transfergrid.records.shipped import conf_dir
from transfergrid.verbs.cli import VERBS
from transfergrid.verbs.configs.keys import GROUPS

COLUMNS = "80"
TITLES = {
    "source": "Sources",
    "strategy": "Strategies",
    "target": "Targets",
    "training": "Trainings",
    "study": "Studies",
    "score": "Scores",
    "trainer": "Trainer",
    "tracking": "Tracking",
}


def write(folder: Path) -> None:
    """Write all pages of the reference into a folder."""
    folder.mkdir(exist_ok=True)
    pages = {"verbs": verbs(), "keys": keys(), "records": records()}
    pages |= {group: options(group) for group in TITLES}
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def verbs() -> str:
    """Return the page of verbs: what each prints under `--help`."""
    parts = ["# Verbs", "", "Every verb, as `transfergrid VERB --help` says it.", ""]
    for verb in sorted(VERBS):
        parts += [f"## {verb}", "", "```text", helped(verb), "```", ""]
    return "\n".join(parts)


def helped(verb: str) -> str:
    """Return what a verb prints under `--help`, in 80 columns."""
    os.environ["COLUMNS"] = COLUMNS
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        import_module(VERBS[verb]).command(["--help"])
    return out.getvalue().strip()


def keys() -> str:
    """Return the page of keys: the primary config, whose comments say what each is."""
    text = (conf_dir() / "config.yaml").read_text(encoding="utf-8")
    shown = text.partition("\nhydra:")[0]
    return "\n".join(
        [
            "# Keys",
            "",
            "What a person types is a key of this file, or one inside a part "
            "([sources](source.md), [strategies](strategy.md), [targets](target.md), "
            "[trainings](training.md), [trainer](trainer.md), [tracking](tracking.md)).",
            "",
            "```yaml",
            shown.strip(),
            "```",
            "",
        ]
    )


def options(group: str) -> str:
    """Return the page of a group: every option with its keys, their defaults and meaning."""
    parts = [f"# {TITLES[group]}", ""]
    paths = sorted((conf_dir() / group).glob("*.yaml"))
    if group == "strategy":
        parts += [*_catalogue(paths), ""]
    for path in paths:
        parts += [f"## {path.stem}", "", *_option(group, path), ""]
    return "\n".join(parts)


def _catalogue(paths: list[Path]) -> Iterator[str]:
    """Yield a table of all strategies: what they do, in which setting, what is transferred."""
    yield "| strategy | what it does | setting | transfers | from | sees |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for path in paths:
        about = yaml.safe_load(path.read_text(encoding="utf-8"))["about"]
        needs = about["needs"]
        sees = ["target labels" if needs["target_labels"] != "unused" else ""]
        sees += ["source domain" if needs["domains"] else ""]
        sees += ["unlabelled target" if needs["unlabelled"] else ""]
        words = [f"[{path.stem}](#{path.stem.replace('_', '-')})", cell(about["help"])]
        words += [about["setting"], about["transfers"], needs["source"]]
        yield f"| {' | '.join([*words, ', '.join(filter(None, sees))])} |"


def _option(group: str, path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("# "):
            break
        yield plain(line[2:])
    config = yaml.safe_load(text) or {}
    target = config.get("_target_")
    if group in GROUPS or target:
        yield from ["", *_arguments(target)]
    rest = "\n".join(line for line in text.splitlines() if not line.startswith("# ")).strip()
    yield from ["", "```yaml", rest, "```"]


def _arguments(target: str | None) -> Iterator[str]:
    """Yield what the class says of its arguments."""
    if target is None:
        return
    told = described(locate(target))
    if told:
        yield "| key | meaning |"
        yield "| --- | --- |"
        for name, meaning in told.items():
            yield f"| `{name}` | {cell(meaning)} |"


def described(cls: Any) -> dict[str, str]:
    """Return what a class's docstring says of each of its arguments."""
    text = inspect.getdoc(cls) or ""
    section = re.search(r"^(?:Args|Attributes):\n((?:[ ]+.*\n?|\n)+)", text, re.MULTILINE)
    if section is None:
        return {}
    found: dict[str, str] = {}
    name = ""
    for line in section[1].splitlines():
        start = re.match(r"^ {4}(\w+): (.*)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found


def records() -> str:
    """Return the page of a record's keys."""
    parts = [
        "# Records",
        "",
        "What `cells/ab/<id>/record.json` holds, key by key. Beside it lie `predictions.npz` and "
        "`curves.npz`, whose arrays are:",
        "",
        "| file | array | meaning |",
        "| --- | --- | --- |",
    ]
    for file, known in (("predictions", PREDICTIONS), ("curves", CURVES)):
        parts += [f"| `{file}.npz` | `{name}` | {cell(told)} |" for name, told in known.items()]
    parts += ["", "| key | type | meaning |", "| --- | --- | --- |"]
    parts += [f"| `{k}` | {cell(kind)} | {cell(m)} |" for k, kind, m in documented_keys()]
    return "\n".join(parts) + "\n"


def cell(text: str) -> str:
    """Return a text as a cell of a table."""
    return plain(text).replace("|", "\\|")


def plain(text: str) -> str:
    """Return a text that MyST takes as it stands."""
    parts = " ".join(text.split()).split("`")  # every other one is code
    parts[::2] = [re.sub(r"([<>$*_\[\]])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the reference of verbs, keys and parts.")
    parser.add_argument("folder", type=Path, help="of the pages")
    write(parser.parse_args().folder)
