"""Any model of timm (pytorch-image-models), without its classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transfergrid.records.arguments import Options, Pixels, Shares
from transfergrid.records.errors import BadInputError, did_you_mean
from transfergrid.sources.cards import Card, known_names
from transfergrid.sources.image_architecture import ImageArchitecture, unknown_model
from transfergrid.sources.source import FileSource

if TYPE_CHECKING:
    from torch import nn

    from transfergrid.data.domain import Domain
    from transfergrid.sources.backbone import Backbone


READS_FILES = ("checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay")
"""Arguments of `timm.create_model` that could make timm itself open weight files, even pickles."""


@dataclass(frozen=True)
class TimmArchitecture(ImageArchitecture):
    """A timm model by name.

    Attributes:
        model: its name, with or without a pretrained tag ("resnet18", "resnet18.a1_in1k").
        size: height and width of the inputs in pixels; by default as timm states for the model.
        options: further arguments of `timm.create_model`, such as `in_chans` or `pad_type`.
        mean: of the inputs on which the weights were trained, on a scale of 0 to 1, one value or
            one per channel; by default as timm states for the model, which may be wrong for
            weights from another file.
        std: the standard deviation, likewise.
    """

    model: str
    size: Pixels | None = None
    options: Options = field(default_factory=dict)
    mean: Shares | None = None
    std: Shares | None = None

    def check(self) -> None:
        """See `Architecture.check`; imports timm, which takes seconds."""
        for key in READS_FILES:
            if key in self.options:
                told = f"source.options.{key}: weights are read by source.file=PATH alone"
                raise BadInputError(told)
        import timm

        if not timm.is_model(self.model):
            raise unknown_model("timm", self.model, timm.list_models(), "timm.list_models()")
        try:
            timm.get_pretrained_cfg(self.model)
        except RuntimeError as error:
            tagged = timm.list_pretrained(f"{self.model.partition('.')[0]}.*")
            hint = did_you_mean(self.model, tagged)
            raise BadInputError(f"timm has no weights tagged {self.model!r}{hint}") from error

    def build(self) -> Backbone:
        """See `Architecture.build`."""
        return self.with_weights(pretrained=False)

    def with_weights(
        self, pretrained: bool, state_dict: Mapping[str, Any] | None = None
    ) -> Backbone:
        """Return the backbone with timm's pretrained weights, or with random ones.

        Args:
            pretrained: load weights: `state_dict`, or else those that timm downloads.
            state_dict: weights in timm's published form; timm adapts names and channels.

        Raises:
            BadInputError: there is no such model, or it does not take the options.
        """
        from transfergrid.sources.backbones.timm_backbone import TimmBackbone

        self.check()
        network = self._network(pretrained, state_dict)
        size = self.size if self.size is not None else self.options.get("img_size")
        square = (size, size) if isinstance(size, int) else size
        channels = self.options.get("in_chans")
        return TimmBackbone(network, self.text("timm"), square, channels, self.mean, self.std)

    def _network(self, pretrained: bool, state_dict: Mapping[str, Any] | None) -> nn.Module:
        import timm

        overlay = {"state_dict": dict(state_dict)} if state_dict is not None else None
        arguments = {**self._size_option(), **self.options, "num_classes": 0}
        try:
            network: nn.Module = timm.create_model(
                self.model, pretrained=pretrained, pretrained_cfg_overlay=overlay, **arguments
            )
        except OSError:  # the hub's errors, some of which are ValueErrors too
            raise
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            raise self.unmade("timm", arguments, error) from error
        return network

    def _size_option(self) -> dict[str, int]:
        """Return the size as an argument for models that need it when built, such as ViT."""
        import timm

        config = timm.get_pretrained_cfg(self.model)
        fixed = config is not None and config.fixed_input_size
        return {"img_size": self.size} if fixed and self.size is not None else {}


@dataclass(frozen=True)
class TimmSource(FileSource):
    """A timm model with the pretrained weights that timm knows, or with weights from a file.

    Attributes:
        architecture: the model; its tag chooses among several pretrained weights.
        file: a weight file to use instead of the weights from the hub.
        domain: the labelled domain that the weights were learned on, if available.
        card: their metadata: origin, licence, trained_on; see `cards.Card`.
    """

    architecture: TimmArchitecture
    file: str | None = None
    domain: Domain | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    def initial(self) -> Backbone:
        """Return the backbone with its pretrained weights."""
        from transfergrid.sources.files import hub, weights
        from transfergrid.sources.files.remembered import remembered

        if self.file is not None:
            file, build = self.file, self.architecture.build
            return remembered(self, file, lambda: weights.load(build(), file))
        self.architecture.check()
        return hub.timm_backbone(self.architecture.model, self.architecture.with_weights)

    def told_card(self) -> Card:
        """Return timm's metadata of the weights; for a file only if the model's name has a tag."""
        import timm

        if self.file is not None and "." not in self.architecture.model:
            return Card()
        self.architecture.check()
        config = timm.get_pretrained_cfg(self.architecture.model)
        if config is None:
            return Card()
        licence = None if config.license == "unknown" else config.license
        origin = config.hf_hub_id or config.origin_url or config.url
        return Card(origin or None, licence, known_names(config.tag or ""))
