"""Large images are small before others are decoded, and come out as if all were read at once."""

import shutil
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from transfergrid.data import examples as held_as
from transfergrid.data import views
from transfergrid.data.copies import image_copies
from transfergrid.data.examples import ArrayExamples, Reading, Subset
from transfergrid.data.features import ImageFeatures
from transfergrid.data.images.image_files import FileExamples
from transfergrid.data.views import Prepared, prepared
from transfergrid.records.ledgers import cached
from transfergrid.records.ledgers.cached import Store
from transfergrid.runs.models import new_view
from transfergrid.sources.preprocessing.images import ImagePreprocess

N = 8
SIDE = (1500, 2000)
PHOTO = 9_000_000
"""Bytes of one of the large images, decoded."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Eight photographs of 1500 x 2000 pixels: 72 MB once they are decoded."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(N):
        small = np.random.default_rng(i).integers(0, 256, (15, 20, 3), dtype=np.uint8)
        Image.fromarray(small).resize(SIDE[::-1]).save(folder / f"{i:02}.jpg", quality=50)
    return FileExamples(sorted(folder.iterdir()), np.arange(N, dtype=np.int64) % 2)


def preprocess(size=(16, 16)):
    return ImagePreprocess(size, 3, (0.5,) * 3, (0.25,) * 3, "bicubic")


class Weighed:
    """Notes the bytes of pixels that it is given at once."""

    def __init__(self):
        self.inner, self.most = preprocess(), 0

    def prepare(self, raw):
        self.most = max(self.most, sum(image.nbytes for image in raw))
        return self.inner.prepare(raw)

    def finish(self, made, augmentation, rng):
        return self.inner.finish(made, augmentation, rng)


ROWS = np.arange(N, dtype=np.int64)


def peak(do):
    """Return the most bytes that NumPy's arrays and Python's objects take meanwhile."""
    do()  # what is made once and kept
    tracemalloc.start()
    try:
        do()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def fitted(examples):
    return ImageFeatures().fit(Reading(examples, ROWS))


def kept_on_disk(examples):
    place, folder = {"domain": "photos"}, Path(tempfile.mkdtemp())
    try:
        Prepared(examples, preprocess(), place, Store(folder, 2**30)).rows(ROWS)
    finally:
        shutil.rmtree(folder)


READERS = {
    "kept on disk": kept_on_disk,
    "whole split": lambda e: Prepared(e, Weighed()).rows(ROWS),
    "batch": lambda e: prepared(Weighed(), e, ROWS),
    "new images": lambda e: new_view(e, Weighed()).inputs(ROWS),
    "search for copies": lambda e: image_copies.Seen(e),
    "plain features": fitted,
}


@pytest.mark.parametrize("reader", READERS)
def test_no_more_than_a_few_photos_are_held_at_once(photos, reader):
    most = peak(lambda: READERS[reader](photos))
    assert PHOTO < most < 5.5 * PHOTO  # a part of two, their copy side by side, and Pillow's own


@pytest.mark.parametrize("held", [Prepared, None])
def test_the_network_is_given_no_more_than_a_part(photos, held):
    weighed = Weighed()
    view = new_view(photos, weighed) if held is None else Prepared(photos, weighed)
    (view.inputs if held is None else view.rows)(ROWS)
    assert weighed.most == 2 * PHOTO  # the first one alone is less than 16 MiB


def examples(kind, tmp_path):
    rng = np.random.default_rng(0)
    if kind == "array":
        images = rng.integers(0, 256, (40, 28, 28, 3), dtype=np.uint8)
        return ArrayExamples(images, np.zeros(40, dtype=np.int64))
    files = []
    for i in range(40):
        shape = (20 + (i % 3 if kind == "mixed" else 0), 30, 3)
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(files[-1])
    return FileExamples(files, np.zeros(40, dtype=np.int64))


@pytest.mark.parametrize("kind", ["array", "equal", "mixed"])
@pytest.mark.parametrize("size", [(16, 16), (28, 28), (40, 50)])
def test_parts_give_the_same_to_the_last_bit(tmp_path, monkeypatch, kind, size):
    made = examples(kind, tmp_path)
    rows = np.random.default_rng(1).permutation(40)[:33]
    at_once = preprocess(size).prepare(made.read(rows))
    for part_bytes in (1, 5_000, 20_000, 10**9):
        monkeypatch.setattr(held_as, "PART_BYTES", part_bytes)
        assert torch.equal(prepared(preprocess(size), made, rows), at_once)
        halved = Subset(made, rows)
        assert torch.equal(prepared(preprocess(size), halved, np.arange(33)), at_once)


def test_parts_are_in_order_and_none_is_left_out(monkeypatch, tmp_path):
    made = examples("array", tmp_path)
    monkeypatch.setattr(held_as, "PART_BYTES", 28 * 28 * 3 * 7)
    rows = np.array([5, 3, 3, *range(20)])
    parts = list(made.in_parts(rows))
    assert [len(part) for part in parts] == [7, 7, 7, 2]
    np.testing.assert_array_equal(np.concatenate(parts), made.read(rows))
    assert [x.tobytes() for x in Reading(made, rows)] == [x.tobytes() for x in made.read(rows)]
    assert len(Reading(made, rows)) == 23
    np.testing.assert_array_equal(Reading(made, rows)[1], made.read(rows)[1])


def test_nothing_is_prepared_to_nothing(tmp_path):
    none = np.empty(0, dtype=np.int64)
    assert prepared(preprocess(), examples("equal", tmp_path), none).shape == (0, 3, 16, 16)


def test_what_is_kept_on_disk_is_in_memory_part_by_part(monkeypatch, tmp_path):
    """Sixteen megabytes of prepared images, written in parts of one and read in batches."""
    monkeypatch.setattr(views, "CACHE_BYTES", 0)
    monkeypatch.setattr(cached, "PART_BYTES", 2**20)
    monkeypatch.setattr(held_as, "PART_BYTES", 2**16)
    images = np.random.default_rng(0).integers(0, 256, (400, 20, 20, 3), dtype=np.uint8)
    held = ArrayExamples(images, np.zeros(400, dtype=np.int64))
    sizes = iter((58, 59))  # `peak` does it twice

    def read():
        store = Store(tmp_path, 2**30)
        made = Prepared(held, preprocess((next(sizes),) * 2), {"domain": "many"}, store)
        made.have(np.arange(400))
        for begin in range(0, 400, 40):
            assert len(made.rows(np.arange(begin, begin + 40))) == 40

    assert 2**20 < peak(read) < 6 * 2**20
