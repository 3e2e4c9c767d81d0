"""Hidden states of any network are channels at places."""

import sys
from pathlib import Path

import pytest
import torch

from transfergrid.sources.torchvision import TorchvisionArchitecture
from transfergrid.strategies.maps import as_map, channel_axes, channel_axis, silenced

sys.path.append(str(Path(__file__).parents[1] / "sources"))
import small_torchvision  # noqa: F401  registers small models


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((2, 5, 4, 4), 1),
        ((2, 4, 4, 5), 3),
        ((2, 4, 4, 4), 1),
        ((2, 5, 4, 3), 1),
        ((2, 7, 5), 2),
        ((2, 5), 1),
    ],
)
def test_channels_are_found_and_laid_out(shape, axis):
    hidden = torch.arange(torch.tensor(shape).prod()).view(shape).float()
    assert channel_axis(hidden) == axis
    found = as_map(hidden, hidden)
    assert found.values.shape == (2, shape[axis], hidden[0].numel() // shape[axis])
    assert torch.equal(found.values[:, 1].flatten(), hidden.select(axis, 1).flatten())
    assert found.real.eq(1).all()


@pytest.mark.parametrize(
    ("shape", "widths", "usual", "axis"),
    [
        ((64, 64, 32), {64}, None, 1),  # an upright image of convolutions
        ((64, 64, 32), {32, 64}, 1, 1),
        ((64, 64, 32), {32, 64}, None, 3),
        ((64, 32, 64), {64}, 3, 3),
        ((5, 3, 7), {7}, None, 3),
        ((96, 96, 96), {96}, 3, 3),
        ((256, 32, 32), {32, 128}, 1, 1),  # channels of many layers side by side
        ((56, 56, 96), {96}, 1, 3),  # moved after a convolution
        ((96, 96, 96), {96}, None, 1),
    ],
)
def test_layers_tell_what_a_shape_does_not(shape, widths, usual, axis):
    assert channel_axis(torch.zeros(2, *shape), widths, usual) == axis


@pytest.mark.parametrize(
    ("name", "size", "widths"),
    [
        ("swin_small_test", 32, {16, 32, 64}),  # maps of (16, 16, 16) at first
        ("convnext_small_test", 64, {16, 32, 48}),  # of (16, 16, 16) at first, channels second
    ],
)
@pytest.mark.parametrize("granularity", ["fine", "coarse"])
def test_where_all_axes_are_as_long_layers_tell_which_holds_channels(
    name, size, widths, granularity
):
    backbone = TorchvisionArchitecture(name, size=size).build()
    axes = channel_axes(backbone, granularity)
    crossing = [part[0] for part in backbone.boundaries(backbone.example(), granularity)]
    assert any(part.shape[1:] == (16, 16, 16) for part in crossing)
    for part, axis in zip(crossing, axes, strict=True):
        assert axis == (part.ndim - 1 if part.ndim < 4 or "swin" in name else 1)
        assert part.shape[axis] in widths


def test_padding_is_no_place():
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    found = as_map(torch.ones(2, 3, 5), {"input_ids": mask, "attention_mask": mask})
    assert found.real.squeeze(1).tolist() == [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
    embedding = as_map(torch.ones(2, 5), {"input_ids": mask, "attention_mask": mask})
    assert embedding.real.squeeze(1).tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 4, 4, 3), (2, 5, 3), (2, 3)])
def test_one_channel_after_the_other_is_silenced(shape):
    hidden, beside = torch.randn(shape), torch.tensor([7, 8])
    axis = channel_axis(hidden)
    found, kept = silenced((hidden, beside), torch.tensor([2, 0]))
    assert kept.tolist() == [7, 8, 7, 8]
    for rows, channel in ((slice(0, 2), 2), (slice(2, 4), 0)):
        wanted = hidden.clone()
        wanted.select(axis, channel).zero_()
        assert torch.equal(found[rows], wanted)
