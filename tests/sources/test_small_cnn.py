"""The small network is what the paper draws, and is cut like any other."""

import numpy as np
import pytest
import torch

from transfergrid.records.errors import BadInputError
from transfergrid.sources.backbone import evaluating
from transfergrid.sources.small_cnn import SmallCNN


def test_its_size_is_that_of_the_paper():
    backbone = SmallCNN().build()
    counts = {name: p.numel() for name, p in backbone.named_parameters() if name.endswith("weight")}
    assert list(counts.values()) == [32 * 3 * 25, 48 * 32 * 25, 100 * 48 * 4 * 4]
    assert backbone.dim == 100


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (28, 3), (33, 2)])
def test_every_cut_changes_nothing(size, channels):
    torch.manual_seed(0)
    backbone = SmallCNN(size, channels, [4, 5, 6]).build()
    images = torch.rand(3, channels, size, size)
    with evaluating(backbone):
        whole = backbone.embed(images)
        for k in range(len(backbone.blocks()) + 1):
            assert torch.equal(backbone.suffix(k)(backbone.prefix(k)(images)), whole)


def test_blocks_own_every_parameter_once():
    backbone = SmallCNN().build()
    owned = [name for block in backbone.blocks() for name in block.parameters]
    assert owned == [name for name, _ in backbone.named_parameters()]


def test_grey_images_fit_three_channels():
    backbone = SmallCNN().build()
    prepared = backbone.preprocess.prepare(np.zeros((2, 28, 28, 1), dtype=np.uint8))
    assert backbone.embed(backbone.preprocess.finish(prepared, "none", None)).shape == (2, 100)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"size": 8}, "size must be a whole number of pixels from 16: 8"),
        ({"channels": 0}, "channels must be a whole number from 1: 0"),
        ({"widths": (1, 2)}, r"widths must be three widths, not \(1, 2\)"),
        ({"widths": [1, 2, 0]}, r"widths must be three widths, not \[1, 2, 0\]"),
        ({"widths": "abc"}, "widths must be three widths, not 'abc'"),
    ],
)
def test_impossible_sizes_are_told(wrong, told):
    with pytest.raises(BadInputError, match=told):
        SmallCNN(**wrong)


@pytest.mark.parametrize("k", [-1, 4])
def test_there_is_no_cut_beyond_the_ends(k):
    with pytest.raises(BadInputError, match="there are 3"):
        SmallCNN().build().prefix(k)
