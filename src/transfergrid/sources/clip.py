"""CLIP models of Hugging Face transformers: images and texts in one embedding space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from transfergrid.records.errors import BadInputError
from transfergrid.sources.files import model_folder
from transfergrid.sources.transformers_vision import (
    TransformersVisionArchitecture,
    TransformersVisionSource,
)

if TYPE_CHECKING:
    from transfergrid.sources.backbone import Backbone


@dataclass(frozen=True)
class ClipArchitecture(TransformersVisionArchitecture):
    """The image tower of a CLIP model; its text tower embeds the texts of classes.

    Its folder contains config, tokenizer and `preprocessor_config.json`, as written by
    `save_pretrained` of a `CLIPModel` and a `CLIPProcessor`. Only the image tower is trained.
    """

    embeds_texts: ClassVar[bool] = True

    def check_folder(self, folder: Path) -> None:
        """See `FolderArchitecture.check_folder`."""
        super().check_folder(folder)
        kind = model_folder.read(folder).get("model_type")
        if kind != "clip":
            raise BadInputError(f"{folder} holds a {kind}, and source=clip takes a CLIP model")
        if not any((folder / name).is_file() for name in model_folder.VOCABULARIES):
            raise BadInputError(f"{folder} holds no tokenizer, which texts of classes need")

    def made(self, folder: Path, files: list[str] | None) -> Backbone:
        """See `FolderArchitecture.made`."""
        from transfergrid.sources.backbones.clip_backbone import ClipBackbone

        return ClipBackbone.of(self, folder, files)


@dataclass(frozen=True)
class ClipSource(TransformersVisionSource):
    """A CLIP model with pretrained weights; see `FolderSource`."""

    architecture: ClipArchitecture
