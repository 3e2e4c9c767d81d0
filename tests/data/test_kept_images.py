"""Images are decoded once, whoever asks, and come back equal to the last bit."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from transfergrid.data import kept_images, views
from transfergrid.data.examples import ArrayExamples, Subset
from transfergrid.data.images.image_files import FileExamples
from transfergrid.data.streams import Augmenting, CellData, StepBatches
from transfergrid.data.views import Prepared, View
from transfergrid.records.ledgers.cached import Store
from transfergrid.sources.preprocessing.images import ImagePreprocess

GIB = 2**30
N = 24
PLACE = {"domain": "photos", "content": "0123", "code": "", "split": "pool"}
SIDE = 12
BYTES = SIDE * SIDE * 3


def preprocess(side=SIDE):
    return ImagePreprocess((side, side), 3, (0.5,) * 3, (0.25,) * 3, "bicubic")


class Counted(FileExamples):
    """Notes which images are decoded."""

    decoded: list

    def image(self, place):
        self.decoded.append(place)
        return super().image(place)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pictures of 12 x 12 pixels, in grey and colours, and from the twelfth on some of 9 x 15."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    made = []
    for i in range(N):
        shape = (9, 15) if i >= N // 2 and i % 3 == 0 else (12, 12)
        shape = shape if i % 5 == 0 else (*shape, 3)
        made.append(folder / f"{i:02}.png")
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(made[-1])
    return made


def examples(files):
    made = Counted(files, np.arange(len(files), dtype=np.int64) % 2)
    made.decoded = []
    return made


def split(files, root, limit=GIB, side=SIDE):
    return Prepared(examples(files), preprocess(side), PLACE, Store(root, limit))


def plain(files, rows, side=SIDE):
    return Prepared(examples(files), preprocess(side)).rows(np.asarray(rows))


def kinds(root):
    return {kept.about["as"]: kept.rows for kept in Store(root, GIB).entries()}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    asked=st.lists(st.lists(st.integers(0, N - 1), min_size=1, max_size=8), max_size=5),
    side=st.sampled_from([8, 12, 20]),
    limit=st.sampled_from([GIB, 2 * 7 * BYTES, 1]),
    n=st.sampled_from([N // 2, N]),
)
def test_what_is_read_is_what_was_prepared_to_the_last_bit(
    asked, side, limit, n, files, tmp_path_factory
):
    root, files = tmp_path_factory.mktemp("store"), files[:n]
    shared = split(files, root, limit, side)
    for place, rows in enumerate(asked):
        rows = np.array([row % n for row in rows])
        worker = shared if place % 2 else split(files, root, limit, side)
        assert torch.equal(worker.rows(rows), plain(files, rows, side))
        assert sum(kept.rows for kept in Store(root, GIB).entries()) * BYTES <= max(limit, BYTES)


def test_bytes_are_kept_as_bytes_and_resized_images_as_real_numbers(files, tmp_path):
    every = np.arange(N // 2)
    split(files[: N // 2], tmp_path / "equal").rows(every)
    assert kinds(tmp_path / "equal") == {"uint8": N // 2}
    (kept,) = Store(tmp_path / "equal", GIB).entries()
    assert BYTES * N // 2 <= kept.bytes < BYTES * N // 2 + 1000
    split(files[: N // 2], tmp_path / "resized", side=20).rows(every)
    assert kinds(tmp_path / "resized") == {"float32": N // 2}


def test_an_image_that_is_not_of_bytes_turns_all_to_real_numbers(files, tmp_path):
    rows = np.arange(N)
    assert torch.equal(split(files, tmp_path).rows(rows), plain(files, rows))
    assert kinds(tmp_path) == {"float32": N}


@pytest.mark.parametrize(("n", "side", "most"), [(12, 12, 1), (12, 20, 1), (N, 12, 2)])
def test_each_image_is_decoded_once_by_all_workers_together(n, side, most, files, tmp_path):
    """And where some values are bytes and others are not, once more until that is found."""
    decoded = []
    for seed in range(4):
        worker = split(files[:n], tmp_path, side=side)
        view = View(worker, np.random.default_rng(seed).permutation(n)[: 3 * (seed + 1)])
        for _ in range(3):
            view.warm()
            view.inputs(view.rows, "light", torch.Generator())
        decoded += worker.examples.decoded
    decoded = np.array(decoded)
    assert np.bincount(decoded[decoded > 0]).max() <= most
    assert np.sum(decoded == 0) <= 4 + most, "each worker looks at one: are its values bytes?"


def test_steps_have_ready_what_they_use_and_nothing_else(files, tmp_path):
    worker = split(files, tmp_path)
    train = View(worker, np.arange(4, N), np.zeros(N - 4, dtype=np.int64))
    batches = StepBatches(CellData(None, train, None), 0, range(2), 4, Augmenting("light"))
    batches.warm()
    used = {int(i) for place in range(2) for i in train.indices[batches.target.rows(place)]}
    assert set(worker.examples.decoded) == {0} | used
    assert len(used) == 8
    worker.examples.decoded.clear()
    for place in range(2):
        batches[place]
    assert not worker.examples.decoded


def test_images_in_memory_stay_there_unless_they_are_many_and_resized(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (N, 12, 12, 3), dtype=np.uint8)
    held = ArrayExamples(images, np.zeros(N, dtype=np.int64))

    def kept(side):
        made = Prepared(held, preprocess(side), PLACE, Store(tmp_path, GIB))
        made.warm()
        return made.is_on_disk

    assert not kept(12)
    assert not kept(20)
    monkeypatch.setattr(views, "CACHE_BYTES", 1000)
    assert not kept(12), "bytes as they are"
    assert kept(20)


def test_part_of_a_split_is_known_by_its_place(files, tmp_path):
    half = Subset(examples(files), np.arange(0, N, 2))
    store = Store(tmp_path, GIB)
    part = Prepared(half, preprocess(), {**PLACE, "split": "test"}, store)
    whole = Prepared(examples(files), preprocess(), PLACE, store)
    rows = np.arange(N // 2)
    assert torch.equal(part.rows(rows), whole.rows(rows * 2))


def test_nothing_is_kept_of_what_nobody_can_name(files, tmp_path):
    worker = Prepared(examples(files), preprocess(), None, Store(tmp_path, GIB))
    assert torch.equal(worker.rows(np.arange(N)), plain(files, np.arange(N)))
    assert not kinds(tmp_path)


def test_where_the_disk_takes_nothing_memory_is_not_filled_instead(files, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_images, "PART_BYTES", 4 * BYTES)
    monkeypatch.setattr(kept_images, "IN_MEMORY", 6 * BYTES)
    (tmp_path / "store").write_text("a file where a folder should be")
    worker, rows = split(files[:12], tmp_path / "store"), np.arange(12)
    for _ in range(3):
        assert torch.equal(worker.rows(rows), plain(files[:12], rows))
    assert len(worker._kept.entry) == 8
