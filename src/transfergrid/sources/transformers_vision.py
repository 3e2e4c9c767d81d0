"""Any image model of Hugging Face transformers, without its head."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from transfergrid.records.arguments import Name, Options, Pixels, Shares
from transfergrid.sources.files import model_folder
from transfergrid.sources.transformers import FolderArchitecture, FolderSource

if TYPE_CHECKING:
    from transfergrid.sources.backbone import Backbone


@dataclass(frozen=True)
class TransformersVisionArchitecture(FolderArchitecture):
    """An image model (ViT, DINOv2, ConvNeXT, Swin, ResNet, ...) of the library transformers.

    Its embeddings are the model's own pooled output, unless its pooler has a dense layer, which
    only pretraining fitted. Otherwise they are its class token, or the mean over all positions.

    Attributes:
        model: its name on the hub; or else
        folder: a folder with config.json, written by `save_pretrained`.
        size: height and width of the inputs in pixels; by default from the model's preprocessing.
        options: values that replace the config's, such as `num_hidden_layers`.
        mean: of the inputs on which the weights were trained, on a scale of 0 to 1; by default
            from the model's preprocessing.
        std: the standard deviation, likewise.
        revision: of the model on the hub: a branch, tag or commit.
    """

    model: Name | None = None
    folder: str | None = None
    size: Pixels | None = None
    options: Options = field(default_factory=dict)
    mean: Shares | None = None
    std: Shares | None = None
    revision: str | None = None

    modality: ClassVar[str] = "image"

    def check_folder(self, folder: Path) -> None:
        """See `FolderArchitecture.check_folder`."""
        model_folder.check_images(folder, self.mean is not None and self.std is not None)

    def made(self, folder: Path, files: list[str] | None) -> Backbone:
        """See `FolderArchitecture.made`."""
        from transfergrid.sources.backbones.transformers_vision_backbone import VisionBackbone

        return VisionBackbone.of(self, folder, files)


@dataclass(frozen=True)
class TransformersVisionSource(FolderSource):
    """An image model of the library transformers with pretrained weights; see `FolderSource`."""

    architecture: TransformersVisionArchitecture
