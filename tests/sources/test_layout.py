"""On a CPU images lie channels last: same values; whoever asks for another order gets it."""

import pytest
import torch
from torch import nn

from transfergrid.sources.backbones.layout import is_channels_last, quickest
from transfergrid.sources.backbones.own_backbone import OwnBackbone
from transfergrid.sources.preprocessing.images import ImagePreprocess
from transfergrid.sources.small_cnn import SmallCNN

HALF = (0.5, 0.5, 0.5)


class Viewing(nn.Module):
    """A network of somebody's own, to which the order in memory matters."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.classifier = nn.Linear(4 * 14 * 14, 2)

    def forward(self, images):
        return self.classifier(self.body(images).view(len(images), -1))


def test_values_and_shape_stay():
    images = torch.randn(2, 3, 8, 8)
    found = quickest(images)
    assert is_channels_last(found)
    assert not is_channels_last(images)
    assert torch.equal(found, images)


@pytest.mark.parametrize(
    "other",
    [torch.zeros(2, 5), torch.zeros(2, 3, 8, 8, device="meta"), {"ids": torch.zeros(2, 3)}],
)
def test_what_is_no_image_on_a_cpu_stays_what_it_is(other):
    assert quickest(other) is other


def test_a_network_of_a_library_is_given_them_so():
    backbone, seen = SmallCNN().build(), []
    backbone.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    images = torch.randn(2, *backbone.image_shape)
    found = backbone.embed(images)
    assert is_channels_last(seen[0])
    assert (found - backbone.network(images)).abs().max() < 1e-5


def test_ones_own_network_may_ask_for_the_usual_order():
    preprocess = ImagePreprocess((16, 16), 3, HALF, HALF, "bilinear")
    backbone = OwnBackbone(Viewing(), "viewing", preprocess, "viewing")
    assert backbone.embed(torch.randn(2, 3, 16, 16)).shape == (2, 4 * 14 * 14)
