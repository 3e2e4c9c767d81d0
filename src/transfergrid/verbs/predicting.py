"""The verb `predict`: write labels and probabilities, or numbers, for new examples as CSV."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NotRequired

from typing_extensions import TypedDict

from transfergrid.data.images.brightness import scale_of
from transfergrid.data.vectors import Scaling
from transfergrid.records import trust
from transfergrid.records.errors import BadInputError, writing
from transfergrid.records.factory import Config
from transfergrid.records.files import contents
from transfergrid.records.files.border import Reader
from transfergrid.records.keeping import VECTOR, WEIGHTS, model_folder
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.metrics import NUMBERS
from transfergrid.records.printing import put, shown
from transfergrid.report.tables.escaping import CsvWriter
from transfergrid.verbs.exporting import CLASSES, CONFIG, FORMAT, check_kept, inputs_of
from transfergrid.verbs.finding import find_cell
from transfergrid.verbs.new_entries import entry_chunks
from transfergrid.verbs.new_examples import Chunk, image_chunks, text_chunks, vector_chunks
from transfergrid.verbs.parser import Parser

if TYPE_CHECKING:
    from transfergrid.runs.models import Model


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid predict CELL|DIR FILES... [-o FILE] [--results DIR] [--text COLUMN]`."""
    parser = Parser(
        prog="transfergrid predict",
        description="Give labels and probabilities, or numbers, of new examples as CSV.",
    )
    parser.add_argument("model", metavar="CELL|DIR", help="a cell's id, or what export wrote")
    parser.add_argument(
        "files",
        nargs="+",
        help="images and folders of them; .txt (one text a line), tables, - for lines of stdin; "
        "tables of numbers",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="by default standard output")
    parser.add_argument("--results", default="results", help="the ledger's folder")
    parser.add_argument("--text", metavar="COLUMN", help="of the texts, in tables")
    parser.add_argument("--pair", metavar="COLUMN", help="of the second texts of pairs, in tables")
    parser.add_argument("--encoding", metavar="NAME", help="of tables, such as latin-1")
    parser.add_argument("--delimiter", metavar="CHARACTER", help="of CSV: one character, or tab")
    chosen = parser.parse_args(arguments)
    folder, description = described(chosen.model, chosen.results)
    typed = {key: getattr(chosen, key) for key in ("text", "pair", "encoding", "delimiter")}
    chunks = chunks_of({**description["inputs"], **vector_of(folder)}, chosen.files, **typed)
    with whole(chosen.output) as stream:
        write_predictions(folder, description, chunks, stream)
    return 0


def described(typed: str, results: str) -> tuple[Path, Config]:
    """Return the folder of a model's weights, and the description it is built from.

    Raises:
        BadInputError: there is no such exported folder or cell, or its weights were not kept.
    """
    if (Path(typed) / CONFIG).is_file():
        return Path(typed), exported(Path(typed))
    if Path(typed).is_dir():
        raise BadInputError(
            f"{typed} holds no {CONFIG}: give a folder that export wrote, or a cell"
        )
    ledger = Ledger(results)
    identity = find_cell(ledger, typed)
    check_kept(ledger, identity)
    record = ledger.read(identity)
    trust.check(record.config, f"cell {identity}")
    from transfergrid.runs.models import description_of

    return model_folder(ledger, identity), {**description_of(record), "inputs": inputs_of(record)}


def exported(folder: Path) -> Config:
    """Return an exported model's description, with paths made absolute from the folder.

    Raises:
        BadInputError: the folder was not written by `export`, or is damaged.
    """
    try:
        told = _exported(contents.read_bytes(folder / CONFIG))
        config: Config = {**told, "classes": _classes(contents.read_bytes(folder / CLASSES))}
    except (OSError, BadInputError) as error:
        raise BadInputError(f"{folder} is no exported model: {error}") from error
    if config.pop("format") > FORMAT:
        raise BadInputError(f"{folder} was written by a newer transfergrid: upgrade this one")
    if not (folder / WEIGHTS).is_file():
        raise BadInputError(f"{folder} holds no {WEIGHTS}")
    moved = _placed(config, folder.absolute())
    assert isinstance(moved, dict)
    trust.check(moved, str(folder / CONFIG))  # the folder may come from anyone
    return moved


class _Inputs(TypedDict):
    modality: str
    text: NotRequired[str | None]
    pair: NotRequired[str | None]
    user: NotRequired[str]
    item: NotRequired[str]
    encoding: NotRequired[str | None]
    delimiter: NotRequired[str | None]


class _Exported(TypedDict):
    format: int
    architecture: dict[str, Any] | None
    strategy: dict[str, Any]
    training: dict[str, Any] | None
    outputs: NotRequired[list[str]]
    seed: int
    inputs: _Inputs


_exported: Reader[_Exported] = Reader(_Exported)
_classes: Reader[list[str]] = Reader(list[str])


def _placed(config: Any, folder: Path) -> Any:
    """Return a config with the paths inside the folder made absolute."""
    if isinstance(config, list):
        return [_placed(item, folder) for item in config]
    if not isinstance(config, dict):
        return config
    inside = config.get("inside") or ()
    return {
        key: str(folder / str(value)) if key in inside else _placed(value, folder)
        for key, value in config.items()
        if key != "inside"
    }


def vector_of(folder: Path) -> Config:
    """Return the stored columns and scaling of a model of vectors; empty for other models.

    Raises:
        BadInputError: the file cannot be read.
    """
    file = folder / VECTOR
    if not file.is_file():
        return {}
    try:
        return {"vector": Scaling.restored(contents.parsed(contents.read_bytes(file)))}
    except (OSError, ArithmeticError, TypeError, ValueError) as error:
        raise BadInputError(f"{file} cannot be used: {error}") from error


def chunks_of(
    inputs: Config,
    files: Sequence[str],
    text: str | None = None,
    pair: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Iterator[Chunk]:
    """Return the examples of these files in chunks; options that are not given are the cell's.

    Raises:
        BadInputError: a file does not exist, or is of another kind than the model takes.
    """
    if inputs["modality"] == "text":
        second = pair if pair is not None else (None if text is not None else inputs["pair"])
        return text_chunks(
            files,
            text or inputs["text"],
            second,
            inputs["pair"] is not None,
            encoding or inputs.get("encoding") or "utf-8",
            delimiter or inputs.get("delimiter"),
        )
    if inputs["modality"] == "matrix":
        names = (inputs.get("user") or "user", inputs.get("item") or "item")
        written = encoding or inputs.get("encoding") or "utf-8"
        return entry_chunks(files, names, written, delimiter or inputs.get("delimiter"))
    if inputs["modality"] == "vector":
        if text is not None or pair is not None:
            told = "--text and --pair are about tables of texts, and this model takes vectors"
            raise BadInputError(f"{told}, by the names of their columns")
        if "vector" not in inputs:
            raise BadInputError(f"this model takes vectors, and {VECTOR}, which says how, is gone")
        return vector_chunks(
            files,
            inputs["vector"],
            encoding or inputs.get("encoding") or "utf-8",
            delimiter or inputs.get("delimiter"),
        )
    if any(value is not None for value in (text, pair, encoding, delimiter)):
        told = "--text, --pair, --encoding and --delimiter are about tables"
        raise BadInputError(f"{told}, and this model takes images")
    return image_chunks(files, scale_of(inputs.get("darkest"), inputs.get("brightest")))


def write_predictions(
    folder: Path, description: Config, chunks: Iterator[Chunk], stream: IO[str]
) -> None:
    """Write a header and one line per example."""
    first = next(chunks)  # before torch is imported, so that errors appear at once
    from transfergrid.runs.models import load_model

    model, writer = load_model(folder, description), CsvWriter(stream)
    names = model.task.names
    told = names if _tells_numbers(model) else ("label", *(f"p_{name}" for name in names))
    writer.row([*first.columns, *told])
    _write_chunk(writer, model, first)
    for chunk in chunks:
        _write_chunk(writer, model, chunk)


def _write_chunk(writer: CsvWriter, model: Model, chunk: Chunk) -> None:
    found = probabilities_of(model, chunk)
    for told, row in zip(chunk.told, found, strict=True):
        values = [f"{value:.8g}" for value in row]
        if not _tells_numbers(model):
            values.insert(0, model.task.names[max(range(len(row)), key=row.__getitem__)])
        writer.row([*told, *values])


def _tells_numbers(model: Model) -> bool:
    return model.task.kind == NUMBERS


def probabilities_of(model: Model, chunk: Chunk) -> list[list[float]]:
    """Return the class probabilities, or the predicted numbers, of each example of a chunk."""
    from transfergrid.runs.machine import Machine, quiet
    from transfergrid.runs.models import new_view
    from transfergrid.runs.predictions import predictions

    quiet()
    view = new_view(chunk.examples, model.preprocess)
    found: list[list[float]] = predictions(model.strategy, view, Machine()).tolist()
    return found


_WRITTEN: Any = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
"""Options of the output stream: file names may contain bytes that are not text."""


@contextmanager
def whole(output: str | None) -> Iterator[IO[str]]:
    """Yield a stream whose text is written atomically on success, and not at all on failure.

    Args:
        output: path of the file; None or `-` is standard output.

    Raises:
        BadInputError: the file cannot be written.
    """
    if output in (None, "-"):
        with tempfile.TemporaryFile("w+", **_WRITTEN) as stream:
            yield stream
            stream.seek(0)
            for line in stream:
                put(sys.stdout, shown(line))
        return
    path = Path(str(output))
    with writing(output):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", **_WRITTEN) as stream:
                yield stream
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
