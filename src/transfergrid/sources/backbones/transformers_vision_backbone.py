"""Image models of the library transformers as backbones."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from transfergrid.data.inputs import Inputs
from transfergrid.records.errors import BadInputError
from transfergrid.records.identity import digest
from transfergrid.sources.backbones import transformers_models
from transfergrid.sources.backbones.image_backbone import for_channels
from transfergrid.sources.backbones.layered_backbone import LayeredBackbone
from transfergrid.sources.files import model_folder
from transfergrid.sources.preprocessing import image_processors
from transfergrid.sources.preprocessing.image_processors import Reading, Size, pair_of
from transfergrid.sources.preprocessing.images import ImagePreprocess

SIZE = 224
"""Height and width in pixels for models that do not state an input size."""


class ImageModel(Protocol):
    """The settings of an image model; see `TransformersVisionArchitecture`."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def options(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def size(self) -> int | None: ...  # noqa: D102
    @property
    def mean(self) -> Sequence[float] | None: ...  # noqa: D102
    @property
    def std(self) -> Sequence[float] | None: ...  # noqa: D102


class VisionBackbone(LayeredBackbone):
    """An image model; its blocks are its layers, or the stages of a hierarchical model."""

    preprocess: ImagePreprocess
    image_shape: tuple[int, int, int]
    ways = MappingProxyType({"size": "source.architecture.size={}"})

    def __init__(
        self, network: nn.Module, architecture: str, preprocess: ImagePreprocess, pools: bool
    ) -> None:
        """Wrap a network; `pools`: whether its own pooled output is the embedding."""
        first = any(name.endswith("cls_token") for name, _ in network.named_parameters())
        embedding = partial(pooled, own=pools, first=first)
        super().__init__(network, architecture, preprocess, embedding, transformers_models.HEADS)
        self.image_shape = (preprocess.channels, *preprocess.size)
        self.interpolates = _interpolates(network, preprocess.size)

    @classmethod
    def of(cls, architecture: ImageModel, folder: Path, files: list[str] | None) -> VisionBackbone:
        """Return the backbone that an architecture describes.

        Args:
            architecture: a checked one.
            folder: contains its config.
            files: weight files, all shards of one checkpoint; None for random weights.

        Raises:
            BadInputError: config, options, preprocessing and weights are inconsistent.
        """
        name = architecture.name
        config = transformers_models.read_config(folder, architecture.options, name)
        made = transformers_models.model_class(config, "pixel_values", name)
        pools = _keeps_pooler(made, config, name)
        network, notes, head = transformers_models.network(made, config, files, name, pooler=pools)
        preprocess = image_preprocess(architecture, folder, config)
        told = [model_folder.content(folder), dict(architecture.options), str(preprocess)]
        text = f"transformers {name} {digest(told)}"
        backbone = cls(network, text, preprocess, pools)
        backbone.notes |= notes
        backbone.head_weights = head
        backbone.title = name
        assert backbone.dim > 0
        return backbone

    def unpacked(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """See `LayeredBackbone.unpacked`."""
        assert isinstance(inputs, Tensor)
        return (inputs,)

    def arguments(self, parts: tuple[Tensor, ...]) -> dict[str, Any]:
        """See `LayeredBackbone.arguments`."""
        more = {"interpolate_pos_encoding": True} if self.interpolates else {}
        return {"pixel_values": parts[0], "return_dict": True, **more}

    def beside(self, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See `LayeredBackbone.beside`; no inputs are needed."""
        return ()

    def restored(self, hidden: Tensor, kept: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return black images; only their shape is used."""
        return (hidden.new_zeros(()).expand(len(hidden), *self.image_shape),)

    def example(self, batch: int = 1) -> Tensor:
        """Return black images in the form that `preprocess.prepare` returns."""
        weight = next(self.parameters())
        return torch.zeros(batch, *self.image_shape, device=weight.device, dtype=weight.dtype)

    def sample(self, number: int) -> Tensor:
        """Return two images of noise."""
        images = self.example(2)
        rng = torch.Generator().manual_seed(number)
        return images + torch.randn(images.shape, generator=rng).to(images)


def pooled(output: Any, parts: tuple[Tensor, ...], own: bool, first: bool) -> Tensor:
    """Return one embedding (n, dim) for each image.

    Args:
        output: of the network.
        parts: its inputs.
        own: use the network's own pooled output, if it has one.
        first: otherwise use the first token; False uses the mean over all positions. Maps
            (n, channels, height, width) are always averaged.
    """
    if own and output.pooler_output is not None:
        result: Tensor = output.pooler_output
        return result.flatten(1)
    hidden: Tensor = output.last_hidden_state
    if hidden.ndim == 4:
        return hidden.mean((2, 3))
    return hidden[:, 0] if first else hidden.mean(1)


def _keeps_pooler(cls: Any, config: Any, name: str) -> bool:
    """Return whether to use a model's own pooled output, for any weights.

    A pooler with a dense layer is not used: it was fitted to the pretraining task only, or not at
    all. A norm is used; if the weights lack it, it starts fresh.
    """
    blank = transformers_models.blank_network(cls, config, name, pooler=True)
    pooler = getattr(blank, "pooler", None)
    if not isinstance(pooler, nn.Module):
        return True
    return all(parameter.ndim == 1 for parameter in pooler.parameters())


def image_preprocess(architecture: ImageModel, folder: Path, config: Any) -> ImagePreprocess:
    """Return the preprocessing that a folder describes, with given settings replaced.

    Raises:
        BadInputError: the folder does not describe it, or in a way that is not supported.
    """
    channels = int(getattr(config, "num_channels", None) or 3)
    given = (architecture.size, architecture.size) if architecture.size is not None else None
    made_for = pair_of(getattr(config, "image_size", None))
    told = _told(architecture, folder, given, channels)
    mean = told.mean if architecture.mean is None else architecture.mean
    std = told.std if architecture.std is None else architecture.std
    return ImagePreprocess(
        size=given or told.size or made_for or (SIZE, SIZE),
        channels=channels,
        mean=for_channels(mean, channels),
        std=for_channels(std, channels),
        interpolation=told.interpolation,
        bgr=told.bgr,
    )


def _told(architecture: ImageModel, folder: Path, size: Size | None, channels: int) -> Reading:
    """Return the preprocessing that a folder describes; not needed where all is given."""
    mean, std, told = architecture.mean, architecture.std, model_folder.read_preprocessor(folder)
    model_folder.check_images(folder, mean is not None and std is not None)
    whole = None
    if mean is not None and std is not None and (size is not None or not told):
        whole = Reading(None, tuple(mean), tuple(std), bgr=False, interpolation="bicubic")
    if whole is not None and not told:
        return whole
    try:
        return image_processors.read(folder, channels, architecture.name)
    except BadInputError:
        if whole is None:
            raise
        return whole


def _interpolates(network: nn.Module, size: tuple[int, int]) -> bool:
    """Return whether a model must interpolate its positions for this size of inputs."""
    takes = "interpolate_pos_encoding" in inspect.signature(network.forward).parameters
    made_for = pair_of(getattr(network.config, "image_size", None))
    return takes and made_for is not None and made_for != size
