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
"""Uninformative folder names, in place of which the parent folder's name is used."""


class FolderArchitecture(Architecture):
    """A model given by its name on the hub, or by a folder that `save_pretrained` wrote."""

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
        """Return a hash of the folder's config and tokenizer, 16 hex digits; "" for a hub name."""
        return "" if self.folder is None else model_folder.content(model_folder.found(self.folder))

    def place(self, with_weights: bool = False) -> Path:
        """Return the folder with the config, downloaded if necessary.

        Args:
            with_weights: for a hub name, the folder must contain the weights too.

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
        """See `Architecture.moved`; copies config and tokenizer, so that no hub name is needed."""
        model_folder.copy_description(self.place(), folder)
        return dataclasses.replace(self, model=None, revision=None, folder=str(folder))  # type: ignore[type-var]

    def build(self) -> Backbone:
        """See `Architecture.build`."""
        return self.backbone(None)

    def backbone(self, files: list[str] | None) -> Backbone:
        """Return the backbone with the weights of these files, or with random ones.

        A model on the hub may change, so the notes record the commit.

        Raises:
            BadInputError: a value is wrong, or weights do not fit.
        """
        self.check()
        folder = self.place()
        made = self.made(folder, files)
        if self.folder is None:
            made.notes["commit"] = folder.name  # snapshots are named by commit
        return made

    @abstractmethod
    def made(self, folder: Path, files: list[str] | None) -> Backbone:
        """Build the backbone from the folder that `place` returned; see `backbone`."""

    @abstractmethod
    def check_folder(self, folder: Path) -> None:
        """Raise `BadInputError` if a folder holds another kind of model."""

    def check(self) -> None:
        """See `Architecture.check`; of the hub it checks only that it can be reached."""
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
    """A text encoder (BERT, ...) or decoder (GPT-2, ...) of the library transformers.

    Attributes:
        model: its name on the hub; or else
        folder: a folder with config.json and tokenizer files, written by `save_pretrained`.
        max_length: tokens after which texts are truncated; by default as many as the model takes.
        pooling: how hidden states become one embedding: "mean", "first" or "last" of the tokens
            that are not padding; "auto" is "last" for decoders and "mean" for encoders.
        options: values that replace the config's, such as `num_hidden_layers`.
        revision: of the model on the hub: a branch, tag or commit.
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
    """A model of the library transformers with pretrained weights.

    Attributes:
        architecture: the model.
        file: a weight file (safetensors, .bin, .pth) to use instead of the folder's or the hub's.
        domain: the labelled domain that the weights were learned on, if available.
        card: their metadata: origin, licence, trained_on; see `cards.Card`.
    """

    architecture: FolderArchitecture
    file: str | None = None
    domain: Domain | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    content_addressed: ClassVar[bool] = True

    def content(self) -> str:
        """Return a hash, 16 hex digits, of the file or of the weights in the folder.

        Empty for a hub name.
        """
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
        """Return the metadata in the model's README; empty if the weights are from another file."""
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
    """A text model of the library transformers with pretrained weights; see `FolderSource`."""

    architecture: TransformersArchitecture
