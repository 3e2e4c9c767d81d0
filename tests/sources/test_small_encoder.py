"""Small networks for the inputs of another one."""

import pytest
import torch

from transfergrid.records.errors import BadInputError
from transfergrid.sources.small_cnn import SmallCNN
from transfergrid.sources.small_encoder import SmallEncoder
from transfergrid.testing.tiny import TinyBackbone
from transfergrid.testing.tiny_text import TinyTextBackbone


@pytest.fixture(params=["images", "texts"])
def beside(request):
    other = SmallCNN().build() if request.param == "images" else TinyTextBackbone(8)
    made = SmallEncoder(16).beside(other).eval()
    inputs = made.example(3)
    if isinstance(inputs, dict):
        inputs["input_ids"] = torch.arange(12).view(3, 4)
    else:
        inputs = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(0))
    return other, made, inputs


def test_it_takes_the_inputs_of_the_other_and_is_as_wide_as_asked(beside):
    other, made, inputs = beside
    assert made.preprocess is other.preprocess
    assert made.embed(inputs).shape == (len(other.embed(inputs)), 16)
    assert made.dim == 16
    assert not [*made.named_buffers()]  # so that no example is seen by another one


def test_it_is_cut_anywhere(beside):
    _, made, inputs = beside
    blocks = made.blocks()
    owned = [name for block in blocks for name in block.parameters]
    assert sorted(owned) == sorted(name for name, _ in made.named_parameters())
    whole, crossing = made.embed(inputs), made.boundaries(inputs)
    assert len(crossing) == len(blocks)
    for k in range(len(blocks) + 1):
        boundary = made.prefix(k)(inputs)
        assert torch.equal(made.suffix(k)(boundary), whole)
        if k:
            assert all(map(torch.equal, boundary, crossing[k - 1]))


def test_padding_says_nothing():
    made = SmallEncoder(16).beside(TinyTextBackbone(8))
    tokens = torch.tensor([[3, 7, 9]])
    short = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    long = {name: torch.nn.functional.pad(part, (0, 2)) for name, part in short.items()}
    assert torch.allclose(made.embed(long), made.embed(short), atol=1e-6)
    long["attention_mask"][:, 3:] = 1
    assert not torch.allclose(made.embed(long), made.embed(short), atol=1e-3)


def test_larger_images_are_halved_more_often():
    sizes = {size: SmallEncoder(64).beside(SmallCNN(size).build()) for size in (16, 28, 32, 224)}
    assert [len(made.blocks()) for made in sizes.values()] == [2, 3, 3, 6]
    assert sum(p.numel() for p in sizes[224].parameters()) < 150_000


def test_what_it_cannot_stand_beside_is_told():
    other = TinyBackbone(4)
    other.example = lambda batch=1: torch.zeros(batch, 5)
    with pytest.raises(BadInputError, match="neither images nor tokens"):
        SmallEncoder().beside(other)
    with pytest.raises(BadInputError, match="no own inputs"):
        SmallEncoder().build()
    assert SmallCNN().beside(SmallCNN(widths=(4, 4, 4)).build()).dim == 100
    with pytest.raises(BadInputError, match=r"must take the same inputs.*set its size"):
        SmallCNN(32).beside(SmallCNN().build())
