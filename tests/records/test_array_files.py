"""Arrays beside a record: what is read quickly is what NumPy reads, and nothing else is."""

import io
import zipfile

import numpy as np
import pytest

from transfergrid.records.errors import BadInputError
from transfergrid.records.files import arrays

CURVES = {
    "train_step": np.arange(5),
    "train_loss": np.array([0.5, np.inf, 0.25, 0.125, 0.0], dtype=np.float32),
    "validation_step": np.array([3]),
    "validation_score": np.array([0.75]),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_that_numpy_reads(tmp_path, save):
    save(tmp_path / "curves.npz", **CURVES)
    found = arrays.curves(tmp_path / "curves.npz")
    with np.load(tmp_path / "curves.npz") as kept:
        assert found.keys() == set(kept.files)
        for name, values in found.items():
            assert values.dtype == kept[name].dtype
            assert values.tobytes() == kept[name].tobytes()


def test_no_byte_that_is_changed_or_missing_changes_what_is_read(tmp_path):
    """Whatever the checks of a quick reader miss would be another number in a verdict."""
    arrays.save(path := tmp_path / "curves.npz", CURVES)
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        for told in (
            whole[:place],
            whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :],
        ):
            path.write_bytes(told)
            try:
                found = arrays.curves(path)
            except BadInputError:
                continue
            for name, values in found.items():  # what is left may be called otherwise, no more
                assert values.tobytes() == CURVES.get(name, values).tobytes(), place


def test_a_member_that_says_to_be_smaller_than_it_is_is_not_inflated_without_end(tmp_path):
    arrays.save(path := tmp_path / "curves.npz", {"train_step": np.zeros(10**6)})
    told = bytearray(path.read_bytes())
    at = told.rindex(b"PK\1\2")
    told[at + 24 : at + 28] = (200).to_bytes(4, "little")
    path.write_bytes(told)
    with pytest.raises(BadInputError, match="Bad CRC-32"):
        arrays.curves(path)


def test_two_files_in_one_are_not_told_apart_by_the_name_outside(tmp_path):
    """A directory that calls a member otherwise than the member itself is refused."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as kept:
        kept.writestr("aa.npy", b"x" * 100)
    told = buffer.getvalue()
    at = told.rindex(b"aa.npy")
    (tmp_path / "curves.npz").write_bytes(told[:at] + b"bb.npy" + told[at + 6 :])
    with pytest.raises(BadInputError, match="differ"):
        arrays.curves(tmp_path / "curves.npz")
