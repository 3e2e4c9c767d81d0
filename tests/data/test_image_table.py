import csv
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfergrid.data.image_folder import ImageFolder
from transfergrid.data.image_table import ImageTable
from transfergrid.records.errors import BadInputError

SHARED = Path(__file__).parents[3] / "shared" / "data" / "images"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path_factory.mktemp("cache")))


def write(file, rows):
    """Write rows (dicts) as CSV or JSON lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


@pytest.fixture
def rows(tmp_path):
    """Write 20 different images below `scans`, and return their rows: paths, labels, patients."""
    made = []
    for i in range(20):
        path = f"scans/{'ab'[i % 2]}/{i}.png"
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (4 + i % 3, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / path)
        made.append({"path": path, "label": i % 2, "patient": f"p{i // 2}"})
    return made


def refused(message, file, **arguments):
    with pytest.raises(BadInputError, match=message) as caught:
        ImageTable(str(file), **arguments).check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def seen(file, **arguments):
    """Return all that a cell sees: content, and of both splits pixels, labels and groups."""
    domain = ImageTable(str(file), **arguments)
    domain.check()
    loaded = domain.load()
    assert loaded.classes == domain.classes
    parts = []
    for part in (loaded.pool, loaded.test):
        pixels = [image.tobytes() for image in part.read(np.arange(len(part)))]
        groups = None if part.groups is None else part.groups.tolist()
        parts.append((pixels, part.labels.tolist(), groups))
    return domain.content(), *parts


def test_format_order_names_and_place_move_nothing(tmp_path, rows):
    layouts = [{"test_split": 0.2}, {"test_split": 0.2, "group_column": "patient"}]
    first = [seen(write(tmp_path / "t.csv", rows), **layout) for layout in layouts]
    moved = []
    for i, row in enumerate(random.Random(0).sample(rows, len(rows))):
        new = tmp_path / "elsewhere" / "flat" / f"image{i}.png"
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / row["path"], new)
        moved.append({**row, "path": new.name})
    file = write(tmp_path / "t.jsonl", moved)
    root = str(tmp_path / "elsewhere" / "flat")
    assert [seen(file, root=root, **layout) for layout in layouts] == first
    absolute = [{**row, "path": f"{root}/{row['path']}"} for row in moved]
    assert seen(write(tmp_path / "a.csv", absolute), **layouts[0]) == first[0]


def test_another_image_is_another_content(tmp_path, rows):
    file = write(tmp_path / "t.csv", rows)
    first = ImageTable(str(file), test_split=0.2).content()
    Image.new("RGB", (3, 3)).save(tmp_path / rows[3]["path"])
    assert ImageTable(str(file), test_split=0.2).content() != first


def test_images_keep_their_labels_and_groups(tmp_path, rows):
    file = write(tmp_path / "t.csv", rows)
    domain = ImageTable(str(file), test_split=0.2, group_column="patient", class_names=["a", "b"])
    loaded = domain.load()
    told = {tmp_path / row["path"]: row for row in rows}
    for part in (loaded.pool, loaded.test):
        for path, label, group in zip(part.files, part.labels, part.groups, strict=True):
            assert (path.parent.name, group) == (domain.classes[label], told[path]["patient"])
    assert not set(loaded.pool.groups) & set(loaded.test.groups)
    assert (len(loaded.pool), len(loaded.test)) == (16, 4)
    assert domain.modality == "image"


def test_images_are_decoded_when_they_are_read(tmp_path, rows):
    loaded = ImageTable(str(write(tmp_path / "t.csv", rows)), test_split=0.2).load()
    Path(loaded.pool.files[0]).unlink()
    with pytest.raises(BadInputError, match=loaded.pool.files[0].name):
        loaded.pool.read(np.array([0]))
    assert len(loaded.pool.read(np.array([1, 2]))) == 2


def test_missing_images_are_counted_and_named(tmp_path, rows):
    for row in rows[2:7]:
        (tmp_path / row["path"]).unlink()
    file = write(tmp_path / "t.csv", [*rows, rows[2]])
    message = refused("5 images are not there: scans/a/2.png, ", file, test_split=0.2)
    assert "scans/a/4.png, ...; paths start from" in message
    assert f"paths start from {tmp_path}, or give target.root=..." in message
    one = refused("1 image is not there", write(file, rows[:3]), test_split=0.2)
    assert "..., " not in one
    refused("no such file or folder", file, root=str(tmp_path / "none"), test_split=0.2)
    rows[0]["path"] = ""
    refused("t.csv: line 2 has nothing in column 'path'", write(file, rows), test_split=0.2)
    rows[0]["path"] = "scans"
    refused("1 image is not there: scans", write(file, rows[:2]), test_split=0.2)


def test_broken_images_are_refused_or_skipped(tmp_path, rows):
    for row in rows[:2]:
        file = tmp_path / row["path"]
        file.write_bytes(file.read_bytes()[:-40])
    (tmp_path / rows[2]["path"]).write_text("no image")
    table = write(tmp_path / "t.csv", rows)
    message = refused("t.csv has 3 broken images: scans/a/0.png", table, test_split=0.2)
    assert "skip_broken=true" in message
    assert "scans/a/2.png (not an image)" in message
    domain = ImageTable(str(table), test_split=0.2, skip_broken=True)
    domain.check()
    loaded = domain.load()
    assert loaded.notes["broken_images"] == 3
    assert len(loaded.pool) + len(loaded.test) == 17
    whole = write(tmp_path / "whole.csv", rows[3:])
    assert ImageTable(str(whole), test_split=0.2).content() == domain.content()
    write(tmp_path / "train.csv", rows[:3])
    test = {"test_file": str(write(tmp_path / "test.csv", rows[3:])), "root": str(tmp_path)}
    told = "train.csv: there are no rows to train on$"
    refused(told, tmp_path / "train.csv", **test, skip_broken=True)


def test_columns_may_have_other_names(tmp_path, rows):
    told = [{"file": row["path"], "finding": row["label"]} for row in rows]
    file = write(tmp_path / "t.csv", told)
    refused("no column 'path'; there is file, finding", file, test_split=0.2)
    first = seen(write(tmp_path / "u.csv", rows), test_split=0.2)
    assert seen(file, path="file", label="finding", test_split=0.2) == first


def test_given_splits_are_kept(tmp_path, rows):
    for name, start, end in (("train", 0, 10), ("val", 10, 14), ("test", 14, 20)):
        write(tmp_path / "tables" / f"{name}.csv", rows[start:end])
    folder = tmp_path / "tables"
    loaded = ImageTable(str(folder), root=str(tmp_path)).load()
    assert {tmp_path / row["path"] for row in rows[14:]} == set(loaded.test.files)
    assert len(loaded.pool) == 14
    refused("test.csv: 6 images are not there", folder)
    for row in rows:
        row["patient"] = "p1"
    write(folder / "test.csv", rows[14:])
    write(folder / "train.csv", rows[:10])
    told = {"root": str(tmp_path), "group_column": "patient"}
    refused("1 group of 'patient' stands in both the pool and test: p1", folder, **told)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_a_table_of_a_real_folder_is_the_folder(tmp_path):
    root = SHARED / "flowers"
    names = sorted(p.relative_to(root) for p in root.rglob("*.jpg"))
    told = [{"path": str(n), "label": n.parts[1], "split": n.parts[0]} for n in names]
    file = write(tmp_path / "flowers.csv", told)
    table = ImageTable(str(file), root=str(root), split_column="split").load()
    folder = ImageFolder(str(root)).load()
    for mine, other in ((table.pool, folder.pool), (table.test, folder.test)):
        assert set(mine.files) == set(other.files)
    assert table.classes == folder.classes
