"""Any text encoder or decoder of Hugging Face transformers, without its head."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from transfergrid.records.arguments import Name, Options, Tokens
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.fingerprints import fingerprint
from transfergrid.sources.cards import Card
from transfergrid.sources.files import model_folder
from transfergrid.sources.source import Architecture, FileSource

if TYPE_CHECKING:
    from transfergrid.data.domain import Domain
    from transfergrid.sources.backbone import Backbone

Pooling = Literal["auto", "mean", "first", "last"]
_VAGUE = ("model", "checkpoint", "final", "best")
"""Folder names that say nothing without the folder above."""


class FolderArchitecture(Architecture):
    """A model by its name on the hub, or by a folder that `save_pretrained` wrote."""

    model: str | None
    folder: str | None
    options: Mapping[str, Any]
    revision: str | None

    paths: ClassVar[tuple[str, ...]] = ("folder",)
    content_addressed: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """The model's name, or the folder's."""
        if self.folder is None:
            return str(self.model)
        path = Path(self.folder)
        return path.parent.name if path.name in _VAGUE else path.name

    def content(self) -> str:
        """Return 16 hex digits of the folder's config and tokenizer; a hub name needs none."""
        return "" if self.folder is None else model_folder.content(model_folder.found(self.folder))

    def place(self, with_weights: bool = False) -> Path:
        """Return the folder with the config, downloaded if it is not on this disk.

        Args:
            with_weights: that of a hub name must hold the weights too.

        Raises:
            BadInputError: there is no such folder or model.
        """
        from transfergrid.sources.files import hub_folder

        self._check_place()
        if self.folder is not None:
            return model_folder.found(self.folder)
        assert self.model is not None
        return hub_folder.folder_of(self.model, self.revision, with_weights)

    def moved(self, folder: Path) -> Architecture:
        """See `Architecture.moved`: config and tokenizer go along, no name of the hub is left."""
        model_folder.copy_description(self.place(), folder)
        return dataclasses.replace(self, model=None, revision=None, folder=str(folder))  # type: ignore[type-var]

    def build(self) -> Backbone:
        """See `Architecture.build`."""
        return self.backbone(None)

    def backbone(self, files: list[str] | None) -> Backbone:
        """Return the backbone with the weights of these files, or with random ones.

        A name's meaning may change on the hub, so the notes say which commit was taken.

        Raises:
            BadInputError: a value is wrong, or weights do not fit.
        """
        self.check()
        folder = self.place()
        made = self.made(folder, files)
        if self.folder is None:
            made.notes["commit"] = folder.name  # the hub's client names snapshots so
        return made

    @abstractmethod
    def made(self, folder: Path, files: list[str] | None) -> Backbone:
        """Return what `backbone` does, for the folder that `place` found."""

    @abstractmethod
    def check_folder(self, folder: Path) -> None:
        """Raise `BadInputError` if a folder holds another kind of model."""

    def check(self) -> None:
        """See `Architecture.check`; asks the hub no more than whether it is there."""
        from transfergrid.sources.files import hub_folder

        self._check_place()
        if self.folder is not None:
            self.check_folder(model_folder.found(self.folder))
        else:
            assert self.model is not None
            hub_folder.check(self.model, self.revision)

    def _check_place(self) -> None:
        if (self.model is None) == (self.folder is None):
            given = "both" if self.model is not None else "neither"
            raise BadInputError(
                f"give source.model=NAME of the hub or source.folder=PATH, not {given}"
            )


@dataclass(frozen=True)
class TransformersArchitecture(FolderArchitecture):
    """A text encoder (BERT, ...) or decoder (GPT-2, ...) of transformers.

    Attributes:
        model: its name on the hub; or else
        folder: one with config.json and tokenizer files, as `save_pretrained` writes it.
        max_length: tokens after which texts are cut; by default as many as the model takes.
        pooling: how tokens become one embedding: "mean", "first" or "last" of the real ones;
            "auto" is "last" for decoders and "mean" for encoders.
        options: values that replace the config's, such as `num_hidden_layers`.
        revision: of the model on the hub.
    """

    model: Name | None = None
    folder: str | None = None
    max_length: Tokens | None = None
    pooling: Pooling = "auto"
    options: Options = field(default_factory=dict)
    revision: str | None = None

    modality: ClassVar[str] = "text"

    def check_folder(self, folder: Path) -> None:
        """See `FolderArchitecture.check_folder`."""
        model_folder.check_text(folder)

    def made(self, folder: Path, files: list[str] | None) -> Backbone:
        """See `FolderArchitecture.made`."""
        from transfergrid.sources.backbones.transformers_backbone import TextBackbone

        return TextBackbone.of(self, folder, files)


@dataclass(frozen=True)
class FolderSource(FileSource):
    """A model of transformers with pretrained weights.

    Attributes:
        architecture: the model.
        file: its weights (safetensors, .bin, .pth) instead of those of its folder or of the hub.
        domain: the labelled domain that they were learned on, if it is at hand.
        card: what else is known of them: origin, licence, trained_on; see `cards.Card`.
    """

    architecture: FolderArchitecture
    file: str | None = None
    domain: Domain | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    content_addressed: ClassVar[bool] = True

    def content(self) -> str:
        """Return 16 hex digits of the file, or of the weights in the architecture's folder."""
        if self.file is not None:
            return fingerprint(self.file)
        if self.architecture.folder is None:
            return ""
        return model_folder.weights_content(model_folder.found(self.architecture.folder))

    def initial(self) -> Backbone:
        """Return the backbone with its pretrained weights."""
        self.architecture.check()
        return self.architecture.backbone(self._files())

    def check(self) -> None:
        """See `Source.check`."""
        from transfergrid.sources.files import weights

        super().check()
        if self.file is None and self.architecture.folder is not None:
            for file in self._files():
                weights.check_file(file)

    def told_card(self) -> Card:
        """Return what the model's own README says; nothing of a file from elsewhere."""
        from transfergrid.sources.files import hub_folder, model_card

        place = self.architecture
        if self.file is not None:
            return Card()
        if place.folder is not None:
            return model_card.read(model_folder.found(place.folder))
        assert place.model is not None
        folder = hub_folder.on_disk(place.model, place.revision)
        told = model_card.read(folder) if folder is not None else Card()
        return Card(place.model).over(told)

    def _files(self) -> list[str]:
        if self.file is not None:
            return [self.file]
        folder = self.architecture.place(with_weights=True)
        return [str(folder / name) for name in model_folder.needed_weights(folder)]


@dataclass(frozen=True)
class TransformersSource(FolderSource):
    """A text model of transformers with pretrained weights; see `FolderSource`."""

    architecture: TransformersArchitecture
