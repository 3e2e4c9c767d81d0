"""A state comes back from its file bit for bit, or not at all."""

import errno
import os
import pickle

import pytest
import torch

from transfergrid.runs import states

WHOLE = torch.arange(12.0).reshape(3, 4)
STATE = {
    "numbers": [1, -2.5, 1e-300, float("inf"), True, None],
    "by step": {0: "first", 7: (0.9, 0.999)},
    "tensors": [
        torch.tensor(3.0),
        torch.zeros(0, 2),
        torch.zeros(0),
        torch.tensor([1.5, -0.0]).bfloat16(),
        torch.tensor([True, False]),
        torch.tensor([2**62 + 1]),
        torch.tensor([float("nan")]),
        WHOLE,
        WHOLE[1],
        WHOLE.T,
    ],
    "again": {"whole": WHOLE},
}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "running" / "a.safetensors"


def written(state, file):
    states.write(state, file, file.parents[1] / "tmp")
    return states.read(file)


def same(one, other):
    if isinstance(one, torch.Tensor):
        bits = [t.contiguous().reshape(-1).view(torch.uint8) for t in (one, other)]
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(*bits)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def test_it_comes_back_as_it_was(file):
    found = written(STATE, file)
    assert all(same(STATE[name], found[name]) for name in STATE)
    assert found["tensors"][7] is found["again"]["whole"], "what was one tensor is one"
    found["tensors"][8].zero_()
    assert found["tensors"][7][1, 0] == 4, "and what looked into another one stands by itself"
    assert [f.name for f in file.parents[1].rglob("*") if f.is_file()] == [file.name]


def test_no_byte_of_it_can_be_changed_unnoticed(file):
    whole = written({"a": torch.arange(4), "b": "text"}, file) and file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(states.DamagedError):
            states.read(file)
    for length in (0, 7, 8, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(states.DamagedError):
            states.read(file)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


def test_nothing_is_unpickled_and_no_pipe_waited_for(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file.parent.mkdir()
    file.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(states.DamagedError):
        states.read(file)
    torch.save({"a": Trap()}, file)
    with pytest.raises(states.DamagedError):
        states.read(file)
    assert not (tmp_path / "sprung").exists()
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(states.DamagedError, match="pipe"):
        states.read(file)


def test_what_cannot_be_kept_leaves_the_one_before(file, monkeypatch):
    written({"a": 1}, file)
    with pytest.raises(TypeError, match="a set cannot be kept"):
        written({"a": {2}}, file)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(states.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        written({"a": 2}, file)
    assert states.read(file) == {"a": 1}
    assert not list((file.parents[1] / "tmp").iterdir())
