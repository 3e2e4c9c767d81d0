import csv
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from transfergrid.data.text_table import TextTable
from transfergrid.errors import BadInputError

SHARED = Path(__file__).parents[3] / "shared" / "data" / "text"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path_factory.mktemp("cache")))


def write(file, rows):
    """Write rows (dicts) in the format that the file's ending names."""
    file.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if file.suffix == ".parquet":
        table = {name: [row.get(name) for row in rows] for name in columns}
        parquet.write_table(pa.table(table), file)
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif file.suffix == ".json":
        file.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    else:
        with file.open("w", newline="", encoding="utf-8") as stream:
            delimiter = "\t" if file.suffix == ".tsv" else ","
            writer = csv.DictWriter(stream, columns, delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    return file


def some_rows(n=20, n_classes=2, start=0, **more):
    """Return `n` rows, all different, of each class in turn; `more` maps columns to functions."""
    told = [{"text": f"text number {i}", "label": i % n_classes} for i in range(start, start + n)]
    return [{**row, **{k: value(i) for k, value in more.items()}} for i, row in enumerate(told)]


def refused(message, file, **arguments):
    with pytest.raises(BadInputError, match=message) as caught:
        TextTable(str(file), **arguments).check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows_of(examples, domain):
    """Return each example as (text, class, group)."""
    texts = examples.read(np.arange(len(examples)))
    groups = [None] * len(texts) if examples.groups is None else examples.groups.tolist()
    names = [domain.classes[c] for c in examples.labels]
    return list(zip(texts, names, groups, strict=True))


def seen(file, **arguments):
    """Return all that a cell sees of a table: content, and both splits row by row."""
    domain = TextTable(str(file), **arguments)
    domain.check()
    loaded = domain.load()
    assert loaded.classes == domain.classes
    splits = [rows_of(part, domain) for part in (loaded.pool, loaded.test)]
    return domain.content(), domain.classes, *splits


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_format_holds_the_same_rows(tmp_path, ending):
    rows = some_rows()
    rows[0]["text"] = 'says "no",\tor\nnothing: é 漢'
    first = seen(write(tmp_path / "first.jsonl", rows), test_split=0.25)
    random.Random(0).shuffle(rows)
    assert seen(write(tmp_path / "sub" / f"other.{ending}", rows), test_split=0.25) == first
    assert (len(first[2]), len(first[3])) == (15, 5) or (len(first[2]), len(first[3])) == (16, 4)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize(
    ("name", "pool", "test", "n_classes"),
    [
        ("sst2", 6920 + 872, 1821, 2),
        ("trec6", 5452, 500, 6),
        ("subj", 9000, 1000, 2),
        ("mpqa", 9543, 1060, 2),
    ],
)
def test_real_tables_load(name, pool, test, n_classes):
    domain = TextTable(str(SHARED / name))
    domain.check()
    loaded = domain.load()
    assert (len(loaded.pool), len(loaded.test), len(loaded.classes)) == (pool, test, n_classes)
    names = json.loads((SHARED / name / "classes.json").read_text())
    assert list(loaded.classes) == names
    lines = (SHARED / name / "test.jsonl").read_text(encoding="utf-8").split("\n")
    told = sorted(
        (row["text"], names[row["label"]]) for row in map(json.loads, filter(None, lines))
    )
    assert sorted(row[:2] for row in rows_of(loaded.test, domain)) == told
