"""The verb `export`: write a cell's model as a folder independent of ledger and source.

model.safetensors   the weights
config.json         what the model is built from; see `models.description_of`
classes.json        the class names, in the order of the probabilities
README.md           the model card
features.json       fitted plain features, where the model takes no backbone
vector.json         the columns of vectors and how they are scaled, where the model takes such
architecture/       what the architecture needs beside its config, such as a tokenizer; in folders
                    by their keys, what architectures in the strategy need
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfergrid.records import trust
from transfergrid.records.errors import BadInputError, writing
from transfergrid.records.factory import Config, build, config_of, locate, undescribed
from transfergrid.records.keeping import FEATURES, VECTOR, WEIGHTS, has_model, model_folder
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import say
from transfergrid.records.process import living
from transfergrid.records.record import Record
from transfergrid.report.exports.model_card import model_card
from transfergrid.sources.source import Architecture
from transfergrid.verbs.finding import SHOWN, find_cell, where
from transfergrid.verbs.parser import Parser

FORMAT = 1
CONFIG, CLASSES, CARD, ARCHITECTURE = "config.json", "classes.json", "README.md", "architecture"


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid export CELL [-o DIR] [--results DIR] [--force]`."""
    parser = Parser(
        prog="transfergrid export", description="Write a kept model as a folder with a model card."
    )
    parser.add_cell()
    parser.add_argument("-o", "--output", metavar="DIR", help="by default model-ID")
    parser.add_argument("--force", action="store_true", help="into a folder that is not empty")
    chosen = parser.parse_args(arguments)
    ledger = Ledger(chosen.results)
    identity = find_cell(ledger, chosen.cell)
    folder = Path(chosen.output or f"model-{identity[:SHOWN]}")
    export(ledger, identity, folder, chosen.force)
    say(f"wrote {folder}; use it with: transfergrid predict {folder} FILES")
    return 0


def export(ledger: Ledger, identity: str, folder: Path, force: bool = False) -> None:
    """Write a done cell's model; on failure the folder stays as it was.

    Raises:
        BadInputError: its weights were not kept, or the folder is not empty.
    """
    record = ledger.read(identity)
    trust.check(record.config, f"cell {identity}")
    check_kept(ledger, identity)
    check_free(folder, force)
    draft = folder.absolute().parent / f".{folder.name}-{living.unique_name()}"
    try:
        with writing(folder):
            draft.mkdir(parents=True)
            _write(ledger, record, draft)
            _move(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_kept(ledger: Ledger, identity: str) -> None:
    """Raise `BadInputError` unless a done cell's weights were kept."""
    if not has_model(ledger, identity):
        short = identity[:SHOWN]
        raise BadInputError(
            f"cell {short} was done without keeping its weights: "
            f"transfergrid reproduce {short} --keep{where(ledger)} makes them"
        )


def check_free(folder: Path, force: bool) -> None:
    """Raise `BadInputError` if a folder is a file, or is not empty without `force`."""
    if folder.exists() and not folder.is_dir():
        raise BadInputError(f"{folder} is a file: give another folder with -o")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise BadInputError(f"{folder} is not empty: give another with -o, or --force")


def _write(ledger: Ledger, record: Record, draft: Path) -> None:
    kept = model_folder(ledger, record.id)
    for name in (WEIGHTS, FEATURES, VECTOR):
        if (kept / name).is_file():
            shutil.copyfile(kept / name, draft / name)
    config = exported_config(record, draft)
    (draft / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    classes = json.dumps(list(record.data.classes), ensure_ascii=False)
    (draft / CLASSES).write_text(classes + "\n", encoding="utf-8")
    (draft / CARD).write_text(model_card(ledger, record), encoding="utf-8")


def exported_config(record: Record, folder: Path) -> Config:
    """Return the model's description; files that it needs are copied into the folder."""
    from transfergrid.runs.models import description_of

    description = description_of(record)
    if description["architecture"] is not None:
        description["architecture"] = _moved(description["architecture"], folder, ARCHITECTURE)
    strategy = dict(description["strategy"])
    student = {"student": description["architecture"]} if strategy.pop("student", None) else {}
    description["strategy"] = {**_self_contained(strategy, folder, ARCHITECTURE), **student}
    return {
        "format": FORMAT,
        "cell": record.id,
        "inputs": inputs_of(record),
        **{key: undescribed(value) for key, value in description.items() if key != "classes"},
        "versions": record.versions,
    }


def inputs_of(record: Record) -> Config:
    """Return the model's inputs: the modality and, for texts and vectors, how tables are read.

    For images it contains which values are black and white in images of more than 8 bits, if that
    was set.

    A text dataset that finds its columns by itself notes which they are; older records lack this.
    """
    target = build(record.config["target"])
    if target.modality == "vector":
        told = {key: getattr(target, key, None) for key in ("encoding", "delimiter")}
        return {"modality": target.modality, **told}
    if target.modality == "matrix":
        keys = {"user": "user", "item": "item", "encoding": "utf-8", "delimiter": None}
        told = {key: getattr(target, key, usual) for key, usual in keys.items()}
        return {"modality": target.modality, **told}
    if target.modality != "text":
        said = {key: getattr(target, key, None) for key in ("darkest", "brightest")}
        told = {key: value for key, value in said.items() if value is not None}
        return {"modality": target.modality, **told}
    found = (record.data.notes or {}).get("columns") or ["text"]
    return {
        "modality": target.modality,
        "text": getattr(target, "text", None) or found[0],
        "pair": getattr(target, "pair", None),
        "encoding": getattr(target, "encoding", "utf-8"),
        "delimiter": getattr(target, "delimiter", None),
    }


def _self_contained(config: Any, folder: Path, place: str) -> Any:
    """Return a config whose architectures need only the folder, each in a subfolder by its key.

    Other parts that name files read them at setup, and the model contains the result.
    """
    if not isinstance(config, dict):
        return config
    made = locate(config["_target_"]) if "_target_" in config else None
    if isinstance(made, type) and issubclass(made, Architecture):
        return _moved(config, folder, place)
    taken = {key for key in (config.get("about") or {}).get("paths", ()) if config.get(key)}
    own = {**config, **{key: Path(config[key]).name for key in taken}}
    return {
        key: _self_contained(value, folder, f"{place}/{key}") if key != "about" else value
        for key, value in own.items()
    }


def _moved(config: Config, folder: Path, place: str) -> Config:
    moved: Config = _relative(config_of(build(config).moved(folder / place)), folder)
    return moved


def _relative(config: Any, folder: Path) -> Any:
    """Return a config with the paths inside the folder made relative to it."""
    paths = (config.get("about") or {}).get("paths", ())
    inside = {
        key: Path(config[key]).relative_to(folder).as_posix()
        for key in paths
        if config.get(key) and Path(config[key]).is_relative_to(folder)
    }
    return {**config, **inside, "inside": sorted(inside)} if inside else config


def _move(draft: Path, folder: Path) -> None:
    """Move the draft to the folder's place, or its files into an existing folder."""
    if not folder.exists():
        draft.rename(folder)
        return
    for item in draft.iterdir():
        if item.is_dir() and (folder / item.name).is_dir():
            shutil.rmtree(folder / item.name)
        item.replace(folder / item.name)
