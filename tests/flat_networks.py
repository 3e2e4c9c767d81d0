"""A small network for vectors: dense layers and BatchNorm, nothing that draws at random."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from transfergrid.sources.backbone import Backbone
from transfergrid.testing.tiny import TinyArchitecture, TinyBackbone, TinyPreprocess


class FlatBackbone(TinyBackbone):
    CUTS: ClassVar = {
        "coarse": {"first": 0, "second": 4},
        "fine": {"dense1": 0, "bn1": 2, "dense2": 4},
    }

    def __init__(self, width):
        layers = {
            "flatten": nn.Flatten(),
            "dense1": nn.Linear(64, width, bias=False),
            "bn1": nn.BatchNorm1d(width),
            "relu1": nn.ReLU(),
            "dense2": nn.Linear(width, 2 * width),
            "relu2": nn.ReLU(),
        }
        network = nn.Sequential(OrderedDict(layers))
        Backbone.__init__(self, network, f"flat width={width}", TinyPreprocess())


@dataclass(frozen=True)
class FlatArchitecture(TinyArchitecture):
    def build(self):
        return FlatBackbone(self.width)
