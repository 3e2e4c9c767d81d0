"""A torchvision model as a backbone.

torchvision does not say how a model's layers are grouped into blocks. But its models define their
modules in the order in which they run, and consist of containers and of modules that run as a
whole; the latter are the blocks.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from transfergrid.records.errors import BadInputError
from transfergrid.sources.backbone import Granularity
from transfergrid.sources.backbones.image_backbone import ImageBackbone, for_channels
from transfergrid.sources.preprocessing.images import INTERPOLATIONS, ImagePreprocess

CHANNELS = 3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Per channel, of ImageNet's images with values from 0 to 1."""
AUXILIARY = ("AuxLogits", "aux1", "aux2")
"""Auxiliary classifiers of Inception and GoogLeNet, which published files contain."""
FEWEST_STAGES = 3
"""With fewer stages, as in ViT, which never shrinks after the stem, coarse blocks are the fine."""


class TorchvisionBackbone(ImageBackbone):
    """A torchvision model without its classifier: embeddings are the classifier's inputs."""

    ways = types.MappingProxyType(
        {
            "size": "source.architecture.size={}",
            "channels": "torchvision's take 3, a network of your own any (docs/own_network.md)",
        }
    )

    former_names: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2"),
        (r"\.mlp\.linear_1\.", ".mlp.0."),
        (r"\.mlp\.linear_2\.", ".mlp.3."),
    )

    def __init__(self, network: nn.Module, architecture: str, preprocess: ImagePreprocess) -> None:
        """Remove the classifier of a network, and wrap the rest.

        Args:
            network: torchvision's.
            architecture: see `Backbone`.
            preprocess: makes its inputs.

        Raises:
            BadInputError: the network has too few layers to end in a classifier.
        """
        head = _behead(network, architecture)
        _load_without_version(network)
        super().__init__(network, architecture, preprocess, (head, *AUXILIARY))

    def groups(self, granularity: Granularity) -> list[list[str]]:
        """See `ImageBackbone.groups`.

        Fine blocks are layers, residual blocks and the like. Coarse blocks are stages, each of
        which begins with a block that shrinks the feature maps.
        """
        fine, stages = _groups(self.network)
        return stages if granularity == "coarse" and len(stages) >= FEWEST_STAGES else fine


def inputs_for(
    published: Any | None,
    size: int,
    mean: Iterable[float] | None = None,
    std: Iterable[float] | None = None,
) -> ImagePreprocess:
    """Return the preprocessing of published weights, with given values replaced.

    Without published weights the defaults are the usual values for ImageNet.

    Args:
        published: torchvision's entry for the weights.
        size: height and width in pixels.
        mean: subtracted from inputs in 0 to 1, one value or one per channel.
        std: the divisor after that, likewise.
    """
    told = published.transforms() if published else None
    interpolation = told.interpolation.value if told else "bilinear"
    return ImagePreprocess(
        size=(size, size),
        channels=CHANNELS,
        mean=for_channels(mean if mean is not None else told.mean if told else MEAN, CHANNELS),
        std=for_channels(std if std is not None else told.std if told else STD, CHANNELS),
        interpolation=interpolation if interpolation in INTERPOLATIONS else "bilinear",
    )


def _behead(network: nn.Module, architecture: str) -> str:
    """Replace the last linear or convolutional layer by the identity, and return its path."""
    kinds = (nn.Linear, nn.Conv2d)
    layers: list[str] = [
        path
        for path, module in network.named_modules()
        if isinstance(module, kinds) and path.partition(".")[0] not in AUXILIARY
    ]
    if len(layers) < 2:
        raise BadInputError(f"{architecture} has no layers that end in a classifier")
    parent, _, name = layers[-1].rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Identity())
    return layers[-1]


def _load_without_version(network: nn.Module) -> None:
    """Let MNASNet load weights without a version number.

    Its own method refuses them, but neither safetensors nor a plain dict can store the number.
    """
    if "_load_from_state_dict" in vars(type(network)):
        plain = types.MethodType(nn.Module._load_from_state_dict, network)
        network._load_from_state_dict = plain  # type: ignore[method-assign]


@dataclass
class _Unit:
    """A module that runs as a whole, or the loose tensors beside modules."""

    names: list[str]
    """Names of its parameters and buffers."""
    shrinks: bool = False
    """Whether its output is smaller in height and width than its input."""
    loose: bool = False
    """Whether it is no module but tensors beside modules, such as a class token."""


def _groups(network: nn.Module) -> tuple[list[list[str]], list[list[str]]]:
    """Return the names of tensors, grouped by block and grouped by stage.

    A norm joins the block before it. A loose tensor joins the stem, or else the block before it.
    """
    ranks = {name: tensor.ndim for name, tensor in _tensors(network)}
    fine: list[list[str]] = []
    stages: list[list[str]] = []
    waiting: list[str] = []
    begins = True
    for unit in _units(network):
        begins = begins or unit.shrinks
        small = unit.loose or all(ranks[name] < 2 for name in unit.names)
        if small and fine:
            fine[-1] += unit.names
            stages[-1] += unit.names
        elif small:
            waiting += unit.names
        else:
            fine.append([*waiting, *unit.names])
            if begins:
                stages.append([])
            stages[-1] += [*waiting, *unit.names]
            waiting, begins = [], False
    return fine, stages


def _tensors(module: nn.Module, recurse: bool = True, prefix: str = "") -> Iterator[Any]:
    yield from module.named_parameters(prefix, recurse)
    yield from module.named_buffers(prefix, recurse)


def _units(module: nn.Module, path: str = "") -> Iterator[_Unit]:
    """Yield what a network runs one after another, opening containers."""
    loose = [name for name, _ in _tensors(module, recurse=False, prefix=path)]
    if loose:
        yield _Unit(loose, loose=True)
    for name, child in module.named_children():
        inner = f"{path}.{name}" if path else name
        if _is_opened(child, depth=inner.count(".")):
            yield from _units(child, inner)
        else:
            names = [tensor for tensor, _ in _tensors(child, prefix=inner)]
            yield _Unit(names, shrinks=_shrinks(child))


def _is_opened(module: nn.Module, depth: int) -> bool:
    """Return whether a module is a mere container of others, each of which runs as a whole.

    torchvision keeps repeated layers in a list, in a sequence, or in a module's `layers`.
    A sequence of plain layers, such as convolution and norm, is one unit, except at the top level.
    """
    if isinstance(module, (nn.ModuleList, nn.ModuleDict)):
        return True
    if isinstance(module, nn.Sequential):
        return _is_nested(module) or (depth == 0 and type(module) is nn.Sequential)
    layers = getattr(module, "layers", None)
    if not isinstance(layers, (nn.ModuleList, nn.Sequential)):
        return False
    return len({type(layer) for layer in layers}) == 1 and _is_nested(layers)


def _is_nested(module: nn.Module) -> bool:
    return any(any(True for _ in child.children()) for child in module.children())


def _shrinks(module: nn.Module) -> bool:
    """Return whether a module shrinks feature maps: by a stride, by merging patches, by pooling."""
    if isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
        return True  # inside a larger module it is part of channel attention
    return any(
        type(part).__name__.startswith("PatchMerging") or _stride(part) > 1
        for part in module.modules()
    )


def _stride(module: nn.Module) -> int:
    if not isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        return 1
    return max(module.stride) if isinstance(module.stride, tuple) else module.stride
