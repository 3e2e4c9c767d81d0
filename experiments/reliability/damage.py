"""Ways in which a file can be wrong: cut, of another type, hostile, or no file at all."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Damage = Callable[[Path, random.Random], None]

DEEP = "[" * 200_000
RAW = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "1e308",
    "-1e308",
    "1" + "0" * 400,
    "1" + "0" * 5000,
)
"""What is written into JSON as it stands."""
VALUES: tuple[Any, ...] = (
    *(None, [], {}, "", "x", -1, 0, 3, 0.5, 2**70, -(2**70), True, False, [None], [[]], {"": None}),
    *("\x1b[31mred\x1b]0;title\x07", "a\nb\r\nc", "\u202egnp.exe", "\x9b2J", "=1+1", "</script>"),
    *("../../../etc/passwd", "/dev/null", "x" * 300, "\ud800", "2026-01-01", "all", "NaN", "1e999"),
    *({"_target_": "os.system", "command": "true"}, {"_target_": "evil.X"}, "evil_module.X"),
    *({"_target_": "results.evil.X"}, {"_target_": 5}, {"about": []}, {"about": {"needs": 5}}),
    *(["a", 1, None], {"a": {"b": {"c": []}}}, "0 1 2", 1e30, -0.5, "0123456789abcdef"),
)


def json_value(path: Path, draw: random.Random) -> None:
    """Put another value somewhere into JSON."""
    _edited(path, draw, lambda node, key: _put(node, key, draw.choice(VALUES)))


def json_raw(path: Path, draw: random.Random) -> None:
    """Put a number somewhere that no computation takes, or a depth that no reader takes."""
    mark = "\u0001here\u0001"
    _edited(path, draw, lambda node, key: _put(node, key, mark))
    raw = draw.choice((*RAW, DEEP))
    path.write_text(path.read_text(encoding="utf-8").replace(json.dumps(mark), raw))


def json_gone(path: Path, draw: random.Random) -> None:
    """Take a key or an item away."""
    _edited(path, draw, _remove)


def json_renamed(path: Path, draw: random.Random) -> None:
    """Give a key another name."""
    _edited(path, draw, lambda node, key: _rename(node, key, draw))


def json_twice(path: Path, draw: random.Random) -> None:
    """Say a key twice, the second time with another value."""
    text = path.read_text(encoding="utf-8").rstrip()
    if text.endswith("}") and '"' in text:
        key = draw.choice(text.split('"')[1::2])
        added = json.dumps(draw.choice(VALUES))
        path.write_text(f"{text[:-1]}, {json.dumps(key)}: {added}}}", encoding="utf-8")


def json_whole(path: Path, draw: random.Random) -> None:
    """Put one value in place of the whole document."""
    texts = [json.dumps(value) for value in VALUES]
    path.write_text(draw.choice((*texts, *RAW, DEEP)), encoding="utf-8")


def _edited(path: Path, draw: random.Random, change: Callable[[Any, Any], None]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    places = list(_places(document))
    if places:
        change(*draw.choice(places))
    path.write_text(json.dumps(document), encoding="utf-8")


def _places(node: Any) -> list[tuple[Any, Any]]:
    keys = list(node) if isinstance(node, dict) else range(len(node))
    found = [(node, key) for key in keys]
    for _, key in list(found):
        if isinstance(node[key], (dict, list)):
            found += _places(node[key])
    return found


def _put(node: Any, key: Any, value: Any) -> None:
    node[key] = value


def _remove(node: Any, key: Any) -> None:
    del node[key]


def _rename(node: Any, key: Any, draw: random.Random) -> None:
    if isinstance(node, dict):
        node[draw.choice(("", "x", "\x1b[2J", "=1+1", "_target_", "about", "é\n"))] = node.pop(key)


def cut(path: Path, draw: random.Random) -> None:
    """Keep the beginning, as a full disk does."""
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(len(data) + 1)])


def emptied(path: Path, draw: random.Random) -> None:
    """Keep nothing."""
    path.write_bytes(b"")


def flipped(path: Path, draw: random.Random) -> None:
    """Change some bytes."""
    data = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 3, 30)) if data else 0):
        data[draw.randrange(len(data))] = draw.randrange(256)
    path.write_bytes(bytes(data))


def other_bytes(path: Path, draw: random.Random) -> None:
    """Put bytes of another kind in its place: UTF-16, zeros, noise, a program."""
    text = path.read_bytes()[:1000].decode("utf-8", "replace")
    kinds = (
        text.encode("utf-16"),
        b"\xff\xfe\x00" * 9,
        bytes(100),
        draw.randbytes(300),
        b"#!/bin/sh",
    )
    path.write_bytes(draw.choice((*kinds, b"\xef\xbb\xbf" + path.read_bytes())))


def a_folder(path: Path, draw: random.Random) -> None:
    """Put a folder in its place."""
    removed(path, draw)
    path.mkdir()


def a_link_to_itself(path: Path, draw: random.Random) -> None:
    """Put a link to itself in its place, or one to nothing."""
    removed(path, draw)
    path.symlink_to(draw.choice((path.name, "nothing", "/dev/null")))


def a_pipe(path: Path, draw: random.Random) -> None:
    """Put a pipe in its place that nobody writes to: who opens it waits for ever."""
    removed(path, draw)
    os.mkfifo(path)


def denied(path: Path, draw: random.Random) -> None:
    """Change nothing: the harness lets nobody open it."""


NAMES = (
    *(
        "\x1b[2J\x1b]0;title\x07",
        "a\nb\r\nc",
        "\u202egnp.exe",
        "\x9b2J",
        "=1+1",
        "é" * 120,
        "x" * 250,
    ),
    *("_target_", "NaN", "1", "-", "\u2028", "CAT", "cat ", "x'; \"", "${oc.env:HOME}", "\\", ".x"),
    *(os.fsdecode(b"\xff\xfe"), "caf\u0065\u0301", "\u200b", "e" * 251),
)


def another_name(path: Path, draw: random.Random) -> None:
    """Give a file or folder a name that few have."""
    suffix = path.suffix if draw.random() < 0.7 else ""
    name = os.fsdecode(os.fsencode(draw.choice(NAMES))[: 255 - len(suffix)])
    path.rename(path.with_name(name + suffix))


def as_another(path: Path, draw: random.Random) -> None:
    """Put the contents of a file beside it in its place, or a copy of it beside it."""
    others = sorted(other for other in path.parent.iterdir() if other.is_file() and other != path)
    if draw.random() < 0.5 or not others:
        shutil.copy(path, path.with_name(f"copy{path.suffix}"))
    else:
        path.write_bytes(draw.choice(others).read_bytes())


def a_file(path: Path, draw: random.Random) -> None:
    """Put a file in a folder's place."""
    removed(path, draw)
    path.write_text(draw.choice(("", "x", "{}")))


def removed(path: Path, draw: random.Random) -> None:
    """Take it away."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def arrays(path: Path, draw: random.Random) -> None:
    """Change one of the arrays of an npz."""
    with np.load(path, allow_pickle=False) as kept:
        found = dict(kept)
    name = draw.choice(sorted(found))
    values = found[name]
    changed: tuple[Any, ...] = (
        *(values[:-1], values[None], values.ravel()[0], np.empty(0), values[::-1], values.T),
        *(np.full(values.shape, np.nan), np.full(values.shape, np.inf), np.full(values.shape, -7)),
        *(np.full(values.shape, 1e308), np.full(values.shape, 99), values.astype(str)),
        *(np.full(values.shape, 1j), np.array({"a": 1}, dtype=object), np.zeros((3, 4, 5))),
        *(np.full(values.shape, 0.5), np.concatenate([values, values])),
    )
    found[name] = draw.choice(changed)
    if draw.random() < 0.2:
        found[draw.choice(("more", "probabilities", "train_loss"))] = found.pop(name)
    np.savez_compressed(path, **found)


def columns(path: Path, draw: random.Random) -> None:
    """Change a column of a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    name = draw.choice(table.column_names)
    place, n = table.column_names.index(name), len(table)
    if draw.random() < 0.15:
        pyarrow.parquet.write_table(table.drop_columns([name]), path)
        return
    filled: Any = draw.choice(
        ("x", "", "\x1b[2J", "{", "[[1, 2]]", None, 1, -1, 2**60, 0.5, float("nan"), 1e308, b"\xff")
    )
    column = pyarrow.array([filled] * n)
    if draw.random() < 0.5:  # of the column's own type, where that can be
        with contextlib.suppress(pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
            column = column.cast(table.schema.field(name).type)
    pyarrow.parquet.write_table(table.set_column(place, name, column), path)


class Evil:
    """What runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        """See `pickle`."""
        return os.system, ("true",)


def pickled(path: Path, draw: random.Random) -> None:
    """Put an array of objects into an npz that runs a command where it is unpickled."""
    with np.load(path, allow_pickle=False) as kept:
        found = dict(kept)
    name = draw.choice((*sorted(found), "class_names", "more"))
    found[name] = np.array([Evil()] * len(found.get(name, "x")), dtype=object)
    np.savez(path, **found)


def members(path: Path, draw: random.Random) -> None:
    """Put a member into an archive that is no array, or is there twice, or lies about its size."""
    header = b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '|u1', 'fortran_order': False, "
    huge = (header + b"'shape': (99999999999, 9999, 99), }").ljust(127) + b"\n"
    held = draw.choice((b"", b"x", huge, draw.randbytes(200), b"\x93NUMPY" + DEEP.encode()))
    with zipfile.ZipFile(path) as archive:
        name = draw.choice((*archive.namelist(), "../x.npy", "x\x1b[2J.npy", "class_names.npy"))
        kept = {other: archive.read(other) for other in archive.namelist()}
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for other, data in kept.items():
            if other != name or draw.random() < 0.5:
                archive.writestr(other, data)
        archive.writestr(name, held)


def lines(path: Path, draw: random.Random) -> None:
    """Change a field of JSON lines, or take a line twice."""
    found = path.read_text().splitlines()
    at = draw.randrange(len(found))
    row = json.loads(found[at])
    row[draw.choice((*row, ""))] = draw.choice(VALUES)
    value = draw.choice((*RAW, DEEP))
    raw = draw.choice(
        (f'{{"text": "x", "label": {value}}}', f'{{"text": {value}, "label": "cat"}}')
    )
    found[at] = draw.choice((json.dumps(row), json.dumps(row), raw, found[0], "[]", "5", "{}"))
    path.write_text("\n".join(found) + "\n")


def header(path: Path, draw: random.Random) -> None:
    """Rename a column of a table of text, or take one away, or one twice."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    at, way = draw.randrange(len(rows[0])), draw.randrange(3)
    if way == 0:
        rows[0][at] = draw.choice((*NAMES, *rows[0])).replace("\n", " ")
    else:
        rows = [row[:at] + row[at : at + 1] * (2 * way - 2) + row[at + 1 :] for row in rows]
    path.write_bytes(os.fsencode("\n".join(",".join(row) for row in rows) + "\n"))


def column(path: Path, draw: random.Random) -> None:
    """Put one value in all fields of a column, or values of a strange kind in each."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    at, value = (
        draw.randrange(len(rows[0])),
        draw.choice((*NAMES, *RAW, "../../x", "/dev/stdin", "")),
    )
    number = draw.random() < 0.5
    for i, row in enumerate(rows[1:]):
        row[at] = '"' + value.replace('"', "") + (str(i % 3) if number else "") + '"'
    path.write_bytes(os.fsencode("\n".join(",".join(row) for row in rows) + "\n"))


def encoded(path: Path, draw: random.Random) -> None:
    """Write text in another encoding."""
    text = path.read_text() + path.read_text().splitlines()[-1].replace("a", "é") + "\n"
    path.write_bytes(
        text.encode(draw.choice(("latin-1", "utf-16", "utf-16-be", "utf-8-sig", "utf-7")))
    )


def csv_field(path: Path, draw: random.Random) -> None:
    """Change a field, a line or the header of a table of text."""
    lines = path.read_text().splitlines()
    at = draw.randrange(len(lines))
    fields = lines[at].split(",")
    fields[draw.randrange(len(fields))] = draw.choice(
        ("", "x", "nan", "inf", "1e999", "-5", '"', "=1+1", "\x1b[2J", "1,2", "９", "0x10", "all")
    )
    lines[at] = ",".join(fields)
    if draw.random() < 0.2:
        lines.insert(at, draw.choice(lines))
    path.write_text("\n".join(lines) + "\n")


FOR_ANY: tuple[Damage, ...] = (
    cut,
    emptied,
    flipped,
    other_bytes,
    a_folder,
    a_link_to_itself,
    a_pipe,
    removed,
)
FOR_JSON: tuple[Damage, ...] = (
    *(json_value, json_value, json_value, json_raw, json_raw, json_gone, json_renamed),
    *(json_twice, json_whole),
)
FOR_FOLDERS: tuple[Damage, ...] = (a_file, a_link_to_itself, a_pipe, removed)


def of(path: Path, draw: random.Random) -> Damage:
    """Draw a way in which this file can be wrong."""
    if path.is_dir():
        return draw.choice(FOR_FOLDERS)
    special: dict[str, tuple[Damage, ...]] = {
        ".json": FOR_JSON,
        ".npz": (arrays,),
        ".parquet": (columns,),
        ".csv": (csv_field,),
    }
    own = special.get(path.suffix, ())
    return draw.choice(own if own and draw.random() < 0.75 else FOR_ANY)


def of_data(path: Path, draw: random.Random) -> Damage:
    """Draw a way in which this part of a data set can be wrong."""
    if path.is_dir():
        return draw.choice((*FOR_FOLDERS, another_name, another_name, denied))
    special: dict[str, tuple[Damage, ...]] = {
        ".json": FOR_JSON,
        ".npz": (arrays, arrays, arrays, pickled, members),
        ".parquet": (columns,),
        ".csv": (csv_field, header, column, column, encoded),
        ".jsonl": (lines, lines, encoded),
    }
    own = special.get(path.suffix, ())
    common = (*FOR_ANY, another_name, denied, as_another)
    return draw.choice(own if own and draw.random() < 0.7 else common)


def strange_names(folder: Path, draw: random.Random) -> None:
    """Put files and folders beside the others that nobody made."""
    for name in ("\x1b[2J", "²", "999999999999", "x.json", "zz", ".DS_Store", os.fsdecode(b"\xff")):
        place = folder / name
        if not place.exists():
            place.mkdir() if draw.random() < 0.5 else place.write_text("{")
