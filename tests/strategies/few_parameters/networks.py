"""Small networks of three libraries, whose layers are called, or read by others, in many ways."""

import sys
from pathlib import Path

import torch

from small_models import pretrained
from transfergrid.data.regression import task_of
from transfergrid.records.training import Training
from transfergrid.sources.timm import TimmArchitecture
from transfergrid.sources.torchvision import TorchvisionArchitecture
from transfergrid.sources.transformers import TransformersArchitecture
from transfergrid.strategies.base import Sizes

sys.path.append(str(Path(__file__).parents[2] / "sources"))
import small_torchvision  # noqa: F401  registers small models

SMALL = {"depth": 2, "embed_dim": 24, "num_heads": 2, "patch_size": 8, "img_size": 32}
NETWORKS = {
    "timm vit": lambda _: TimmArchitecture("vit_tiny_patch16_224", options=SMALL).build(),
    "timm beit": lambda _: TimmArchitecture("beit_base_patch16_224", options=SMALL).build(),
    "timm mobilenet": lambda _: TimmArchitecture("mobilenetv2_035", size=32).build(),
    "torchvision vit": lambda _: TorchvisionArchitecture("vit_small_test", size=32).build(),
    "torchvision swin": lambda _: TorchvisionArchitecture("swin_small_test", size=32).build(),
    "bert": lambda root: TransformersArchitecture(folder=str(pretrained(root, "bert"))).build(),
    "gpt2": lambda root: TransformersArchitecture(folder=str(pretrained(root, "gpt2"))).build(),
}


def made(name, root):
    """Return a network in eval mode; the same one each time."""
    torch.manual_seed(0)
    return NETWORKS[name](root).eval()


def sample(backbone):
    """Return two examples that are not alike."""
    if backbone.image_shape is None:
        return backbone.sample(0)
    rng = torch.Generator().manual_seed(0)
    return torch.randn(2, *backbone.image_shape, generator=rng)


def attached(kind, backbone, arguments, target=5):
    """Return a strategy on a network: of a cell, or with no example made again to predict."""
    strategy = kind(**arguments)
    sizes, task = Sizes(target=target), task_of(("a", "b", "c"), ())
    strategy.attach(backbone, task, Training(), 0, sizes=sizes)
    return strategy.eval()


def added(strategy):
    """Return the parameters that learn beside the head."""
    (phase,) = strategy.phases()
    return [p for group in phase.learning() if group.name != "head" for p in group.parameters]


def disturbed(strategy):
    """Move them off their start."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in added(strategy):
            parameter.add_(0.1 * torch.randn_like(parameter))
    return strategy


def check_blocks(backbone, before):
    """Fail unless blocks bear the names that they had, and own each tensor once."""
    for granularity, titles in before.items():
        blocks = backbone.blocks(granularity)
        assert [block.name for block in blocks] == titles
        owned = [name for b in blocks for name in (*b.parameters, *b.buffers)]
        there = [n for n, _ in (*backbone.named_parameters(), *backbone.named_buffers())]
        assert sorted(owned) == sorted(there)


def titles(backbone):
    """Return the names of its blocks."""
    return {g: [block.name for block in backbone.blocks(g)] for g in ("fine", "coarse")}
