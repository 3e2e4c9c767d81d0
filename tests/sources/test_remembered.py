"""Weights that were read once are not read again, unless the file is another by now."""

import os
from pathlib import Path

import pytest
import torch

from transfergrid.sources.checkpoint import Checkpoint
from transfergrid.sources.files import remembered, weights
from transfergrid.sources.small_cnn import SmallCNN


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A source from a file, of a process that has read nothing yet."""
    monkeypatch.setattr(remembered, "_memory", type(remembered._memory)())
    weights.save(SmallCNN().build().network.state_dict(), tmp_path / "weights.safetensors")
    return Checkpoint(SmallCNN(), str(tmp_path / "weights.safetensors"))


def first(backbone):
    return next(backbone.parameters())


def test_it_is_read_once_and_each_has_weights_of_its_own(source, monkeypatch):
    read = []
    real = weights.read
    monkeypatch.setattr(weights, "read", lambda file: read.append(file) or real(file))
    one, two, three = (source.initial() for _ in range(3))
    assert len(read) == 1
    assert one.fingerprint() == two.fingerprint() == three.fingerprint()
    with torch.no_grad():
        first(one).add_(1)
        first(two).add_(2)
    assert source.initial().fingerprint() == three.fingerprint()


def test_another_file_under_the_same_name_is_read(source):
    before = source.initial()
    state = {k: v + 1 for k, v in before.network.state_dict().items()}
    weights.save(state, source.file)
    os.utime(source.file, ns=(1, 1))
    assert torch.equal(first(source.initial()), first(before) + 1)


def test_a_network_that_cannot_be_copied_is_read_each_time(source, monkeypatch):
    def refuse(_):
        raise RuntimeError("no copies")

    monkeypatch.setattr(remembered, "deepcopy", refuse)
    assert source.initial().fingerprint() == source.initial().fingerprint()


def test_large_ones_are_not_kept(source, monkeypatch):
    monkeypatch.setattr(remembered, "LARGEST_BYTES", 1000)
    source.initial()
    assert not remembered._memory


def test_a_file_that_is_gone_is_refused_in_words(source):
    from transfergrid.records.errors import BadInputError

    source.initial()
    Path(source.file).unlink()
    with pytest.raises(BadInputError, match="no such file"):
        source.initial()
