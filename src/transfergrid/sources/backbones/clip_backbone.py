"""CLIP models: an image tower for inputs and a text tower for classes, in one embedding space."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.inputs import Inputs
from transfergrid.records.errors import BadInputError
from transfergrid.records.identity import digest
from transfergrid.sources.backbone import Words, evaluating
from transfergrid.sources.backbones import transformers_models
from transfergrid.sources.backbones.transformers_vision_backbone import (
    ImageModel,
    VisionBackbone,
    image_preprocess,
)
from transfergrid.sources.files import model_folder
from transfergrid.sources.preprocessing.text import TextPreprocess

KIND = "clip"
"""The `model_type` of models with both towers."""
TOWERS = {"vision": ("vision_model.", "visual_projection."), "text": ("text_model.", "text_proj")}
"""Prefixes of the names of each tower's weights."""


class ClipBackbone(VisionBackbone):
    """The image tower of CLIP with its projection; the frozen text tower is kept beside it.

    The text tower is never trained, cut or counted: it only embeds the texts of classes.
    """

    words_of: Words

    @classmethod
    def of(cls, architecture: ImageModel, folder: Path, files: list[str] | None) -> Self:
        """Return the backbone that an architecture describes; see `VisionBackbone.of`.

        Raises:
            BadInputError: it is no CLIP model, or see `VisionBackbone.of`.
        """
        from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection

        name = architecture.name
        config = transformers_models.read_config(folder, architecture.options, name)
        if config.model_type != KIND:
            raise BadInputError(
                f"{name} is a {config.model_type}, and source=clip takes models of images and "
                "texts in one space whose model_type is clip"
            )
        network, notes = _tower("vision", CLIPVisionModelWithProjection, config, files, name)
        texts, _ = _tower("text", CLIPTextModelWithProjection, config, files, name)
        preprocess = image_preprocess(architecture, folder, config.vision_config)
        told = [model_folder.content(folder), dict(architecture.options), str(preprocess)]
        backbone = cls(network, f"transformers {name} {digest(told)}", preprocess, pools=True)
        backbone.embedding = _projected
        backbone.notes |= notes
        backbone.title = name
        tokenizer = transformers_models.load_tokenizer(folder)
        longest = int(config.text_config.max_position_embeddings)
        words = Words(TextPreprocess.of(tokenizer, longest), TextTower(texts))
        object.__setattr__(backbone, "words_of", words)  # not registered as a submodule
        assert backbone.dim > 0
        return backbone

    @override
    def words(self) -> Words:
        return self.words_of


class TextTower:
    """Embeds texts; frozen, in eval mode, and moved to the device of its inputs."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network.requires_grad_(False).eval()

    def __call__(self, inputs: Inputs) -> Tensor:
        """Return embeddings (batch, dim) of tokens."""
        assert isinstance(inputs, dict)
        names = ("input_ids", "attention_mask")
        self.network.to(inputs["input_ids"].device)
        with evaluating(self.network):
            found: Tensor = self.network(**{name: inputs[name] for name in names}).text_embeds
        return found


def _projected(output: Any, parts: tuple[Tensor, ...]) -> Tensor:
    found: Tensor = output.image_embeds
    return found


def _tower(
    part: str, cls: Any, config: Any, files: list[str] | None, name: str
) -> tuple[nn.Module, dict[str, Any]]:
    """Return one of the two towers, and notes; see `transformers_models.network`."""
    own: Any = getattr(config, f"{part}_config")
    own.projection_dim = config.projection_dim
    own.use_cache = False
    begins = TOWERS[part]
    made, notes, _ = transformers_models.network(cls, own, files, name, pooler=True, part=begins)
    return made, notes
