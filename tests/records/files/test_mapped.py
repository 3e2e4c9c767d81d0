"""An array of a file that no file is held open for, and no more than that file."""

from pathlib import Path

import numpy as np
import pytest

from transfergrid.records.files.mapped import mapped
from transfergrid.records.ledgers.cached import Store

FILES = Path("/proc/self/fd")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4),
        np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.array(5, dtype=np.int8),
        np.zeros((0, 7), dtype=np.float32),
        np.array([True, False]),
    ],
    ids=str,
)
def test_it_is_the_array_that_was_written_and_outlives_its_file(array, tmp_path):
    file = tmp_path / "a.npy"
    np.save(file, array)
    found = mapped(file)
    file.unlink()
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert np.array_equal(found, array)
    with pytest.raises(ValueError, match="read-only"):
        found[...] = 1


@pytest.mark.parametrize("cut", [3, 40, 130])
def test_a_file_that_is_cut_is_refused(cut, tmp_path):
    file = tmp_path / "a.npy"
    np.save(file, np.arange(100))
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises((ValueError, OSError)):
        mapped(file)


def test_objects_are_refused(tmp_path):
    file = tmp_path / "a.npy"
    np.save(file, np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match="objects"):
        mapped(file)


@pytest.mark.skipif(not FILES.exists(), reason="reads /proc")
def test_a_cache_of_many_parts_holds_no_file_open(tmp_path):
    entry = Store(tmp_path, 2**30).entry({"of": "many"})
    before, parts = len([*FILES.iterdir()]), 200
    for number in range(parts):
        wanted = np.array([number])
        entry.rows(wanted, lambda missing: [(missing, (np.ones((len(missing), 8)),))])
    assert len([f for f in entry.folder.iterdir() if f.is_dir()]) >= parts
    assert len([*FILES.iterdir()]) - before < 5
    assert entry.bytes_in_memory == 0
    (found,) = entry.rows(np.arange(parts), lambda missing: [])
    assert found.shape == (parts, 8)
