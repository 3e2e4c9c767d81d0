"""How tables are read: by transfergrid, Polars, pyarrow and pandas; how long, and what they let by.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 python experiments/benchmarks/tables.py

First, awkward tables: for each reader the values that it returns, or its error. All are asked for
text alone, so that 007 stays 007. Then the time to read 100,000 rows to columns of plain values:
the fastest of five, in seconds of processor time, and that of the import before it. "Polars and
lines" takes fields apart by Polars and finds the line on which each record begins, and short rows,
by counting quotes and commas: what errors that name a line would take.
"""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

AWKWARD = {
    "a quoted newline": 'text,label\n"a\nb",x\nc,y\n',
    "blank lines": "\ntext,label\n\na,x\n  \nb,y\n",
    "a short row": "text,label\na,x\nb\n",
    "a long row": 'text,label\n"a\nb",x\n\na,b,x\n',
    "a column twice": "text,label,text\na,x,b\n",
    "a quote that never ends": 'text,label\na,x\n"b,x\nc,y\n',
    "text behind a quote": 'text,label\n"a" b,x\n',
    "a quote within a field": 'text,label\na 5" b,x\nc,y\n',
    "carriage returns alone": "text,label\ra,x\rb,y\r",
    "leading zeros": "text,label\n007,1e5\n",
    "a byte order mark": "\ufefftext,label\na,x\n",
    "a NUL": "text,label\na\0b,x\n",
    "not UTF-8": "text,label\na,x\n\udce9,y\n",
}
LINES = {
    "JSON lines: 1, then text": '{"label": 1}\n{"label": "x"}\n',
    "JSON lines: 1, then 2.5": '{"label": 1}\n{"label": 2.5}\n',
    "JSON lines: a name twice": '{"label": 1}\n{"label": 1, "label": 2}\n',
    "JSON lines: cut off": '{"label": "a"}\n\n{"label": "b',
}
SENTENCE = "and so it went on for miles of words in a sentence of usual length"


def transfergrid(file: Path) -> Any:
    """Read by the one reader of this package."""
    from transfergrid.records.files.tables import read_table

    table = read_table(file, file.name, None)
    return {**table.columns, table.unit: list(table.numbers)}


def polars(file: Path) -> Any:
    """Read by Polars."""
    import polars as pl

    if file.suffix == ".jsonl":
        return pl.read_ndjson(file).to_dict(as_series=False)
    frame = pl.read_csv(file, infer_schema=False, empty_string_is_null=False)
    return frame.to_dict(as_series=False)


def polars_and_lines(file: Path) -> Any:
    """Read by Polars, once the line is known on which each record begins."""
    import polars as pl

    lines = pl.DataFrame({"text": file.read_text().removesuffix("\n").split("\n")})
    goes_on = pl.col("text").str.count_matches('"', literal=True).cum_sum() % 2 == 1
    records = (
        lines.with_row_index("line", 1)
        .with_columns(record=(~goes_on).shift(1, fill_value=True).cum_sum())
        .group_by("record", maintain_order=True)
        .agg(pl.col("line").first(), pl.col("text").str.join("\n"))
        .filter(pl.col("text").str.strip_chars() != "")
    )
    unquoted = pl.col("text").str.replace_all(r'"[^"]*"', "")
    commas = records.select(unquoted.str.count_matches(",", literal=True)).to_series()
    if (commas != commas[0]).any():
        raise ValueError(f"line {records['line'][(commas != commas[0]).arg_max()]}")
    text = io.BytesIO("\n".join(records["text"]).encode())
    frame = pl.read_csv(text, infer_schema=False, empty_string_is_null=False)
    return {**frame.to_dict(as_series=False), "line": records["line"][1:].to_list()}


def pyarrow(file: Path) -> Any:
    """Read by pyarrow."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv
    from pyarrow import json as arrow_json

    if file.suffix == ".jsonl":
        table = arrow_json.read_json(file)
    else:
        parse = arrow_csv.ParseOptions(newlines_in_values=True)
        names = arrow_csv.open_csv(file, parse_options=parse).schema.names
        types = dict.fromkeys(names, pa.string())
        convert = arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=False)
        table = arrow_csv.read_csv(file, parse_options=parse, convert_options=convert)
    return {name: table.column(i).to_pylist() for i, name in enumerate(table.column_names)}


def pandas(file: Path) -> Any:
    """Read by pandas."""
    import pandas as pd

    if file.suffix == ".jsonl":
        return pd.read_json(file, lines=True, dtype=False).to_dict("list")
    return pd.read_csv(file, dtype=str, keep_default_na=False).to_dict("list")


READERS = {
    "transfergrid": transfergrid,
    "Polars": polars,
    "Polars and lines": polars_and_lines,
    "pyarrow": pyarrow,
    "pandas": pandas,
}


def told(reader: Callable[[Path], Any], file: Path) -> str:
    """Return what a reader says of a file."""
    try:
        return str(reader(file))
    except Exception as error:
        said = " ".join(str(error).replace(str(file), file.name).split())
        return f"{type(error).__name__}: {said:.110}"


def rows() -> Iterator[dict[str, object]]:
    """Yield 100,000 rows of texts with quotes and newlines."""
    for i in range(100_000):
        text = f'He said "so, {i}"\n{SENTENCE}, {random.random()}'
        yield {"id": i, "text": text, "label": random.choice("xyz")}


def runs() -> Iterator[dict[str, object]]:
    """Yield 100,000 rows of results."""
    for i in range(100_000):
        arm = {"source": random.choice("abc"), "strategy": random.choice(("scratch", "l2_sp"))}
        yield {**arm, "target": random.choice("xyz"), "labels": 4, "seed": i, "score": i / 1e5}


def save(made: Iterator[dict[str, object]], place: Path) -> list[Path]:
    """Write rows as CSV and as JSON lines."""
    kept = list(made)
    with place.with_suffix(".csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, kept[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    place.with_suffix(".jsonl").write_text("\n".join(map(json.dumps, kept)))
    return [place.with_suffix(".csv"), place.with_suffix(".jsonl")]


def measure(name: str, file: Path, small: Path) -> None:
    """Print processor seconds of the import, and of reading."""
    times = []
    for path in (small, *[file] * 5):
        started = time.process_time()
        READERS[name](path)
        times.append(time.process_time() - started)
    print(f"{file.name:<14} {name:<17} {times[0]:6.2f} {min(times[1:]):6.2f}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**AWKWARD, **LINES}.items():
            file = Path(folder) / ("t.jsonl" if name in LINES else "t.csv")
            file.write_bytes(text.encode(errors="surrogateescape"))
            print(f"{name}: {text!r}")
            for reader, read in READERS.items():
                if name in AWKWARD or read is not polars_and_lines:
                    print(f"    {reader:<17} {told(read, file)}")
        file = Path(folder) / "small"
        small = {path.suffix: path for path in save(iter([{"a": 1, "b": 2}]), file)}
        print(f"\n{'file':<14} {'reader':<17} import   read   seconds of processor time")
        files = [*save(runs(), Path(folder) / "runs"), *save(rows(), Path(folder) / "texts")]
        for file in files:
            for reader in READERS:
                if file.suffix == ".csv" or reader != "Polars and lines":
                    words = [sys.executable, __file__, reader, file, small[file.suffix]]
                    sys.stdout.flush()
                    subprocess.run(list(map(str, words)), check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
