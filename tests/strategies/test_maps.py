"""Hidden states of any network are channels at places."""

import pytest
import torch

from transfergrid.strategies.maps import as_map, channel_axis, silenced


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
