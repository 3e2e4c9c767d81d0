"""Any classification model of torchvision, without its classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transfergrid.records.arguments import Options, Pixels, Shares
from transfergrid.records.errors import BadInputError, did_you_mean
from transfergrid.sources.cards import Card
from transfergrid.sources.image_architecture import ImageArchitecture, unknown_model
from transfergrid.sources.source import FileSource

if TYPE_CHECKING:
    from torch import nn

    from transfergrid.data.domain import Domain
    from transfergrid.sources.backbone import Backbone
    from transfergrid.sources.preprocessing.images import ImagePreprocess

SIZED = {"vit": "image_size", "maxvit": "input_size"}
"""By family of models: the constructor's argument for the input size, if it needs one."""
DEFAULT_SIZE = 224


@dataclass(frozen=True)
class TorchvisionArchitecture(ImageArchitecture):
    """A torchvision model by name.

    Attributes:
        model: its name ("resnet18", "vgg11_bn").
        size: height and width of the inputs in pixels; by default those of the published weights.
        options: further arguments of the model's builder, such as `width_mult`.
        mean: of the inputs on which the weights were trained, on a scale of 0 to 1, one value or
            one per channel; by default as torchvision states for its weights.
        std: the standard deviation, likewise.
        weights: name of the published weights, such as "IMAGENET1K_V1", which decide the
            preprocessing; by default torchvision's default weights. An argument of the
            architecture, not of the source, so that random weights get the same inputs.
    """

    model: str
    size: Pixels | None = None
    options: Options = field(default_factory=dict)
    mean: Shares | None = None
    std: Shares | None = None
    weights: str | None = None

    def check(self) -> None:
        """See `Architecture.check`; imports torchvision, which takes seconds."""
        known = classifiers()
        if self.model not in known:
            where = "torchvision.models.list_models()"
            raise unknown_model("torchvision", self.model, known, where)
        self.published()

    def published(self) -> Any | None:
        """Return torchvision's entry for the chosen weights; None if the model has no weights.

        Raises:
            BadInputError: the model has no weights with this name.
        """
        from torchvision.models import get_model_weights

        try:
            entries = get_model_weights(self.model)
        except ValueError:  # its builder does not name them
            entries = None
        names = [entry.name for entry in entries or ()]
        if self.weights is not None and self.weights not in names:
            hint = did_you_mean(self.weights, names) or "; it has none at all"
            raise BadInputError(
                f"torchvision has no weights {self.weights!r} for {self.model}{hint}"
            )
        if entries is None or not names:
            return None
        return entries[self.weights] if self.weights else entries.DEFAULT

    def build(self) -> Backbone:
        """See `Architecture.build`."""
        from transfergrid.sources.backbones.torchvision_backbone import TorchvisionBackbone

        self.check()
        text = self.text("torchvision", weights=self.weights)
        return TorchvisionBackbone(self._network(), text, self.preprocess())

    def preprocess(self) -> ImagePreprocess:
        """Return the preprocessing that the weights expect, with the given values replaced."""
        from transfergrid.sources.backbones.torchvision_backbone import inputs_for

        return inputs_for(self.published(), self.side, self.mean, self.std)

    @property
    def side(self) -> int:
        """Height and width of the inputs in pixels."""
        told = self.size or self.options.get(SIZED.get(self._family, ""))
        if isinstance(told, (list, tuple)):
            told = told[0]
        published = self.published()
        return int(told or (published.transforms().crop_size[0] if published else DEFAULT_SIZE))

    @property
    def _family(self) -> str:
        return self.model.partition("_")[0]

    def _network(self) -> nn.Module:
        from torchvision.models import get_model

        arguments = {**self._usual(), **self.options}
        try:
            network: nn.Module = get_model(self.model, weights=None, **arguments)
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            raise self.unmade("torchvision", arguments, error) from error
        return network

    def _usual(self) -> dict[str, Any]:
        """Return the arguments that torchvision itself passes when it loads weights.

        Unless mean or std are given, GoogLeNet and Inception convert inputs normalised in
        torchvision's usual way to those that the original weights expect.
        """
        usual: dict[str, Any] = {}
        if self._family in SIZED:
            side = self.side
            usual[SIZED[self._family]] = side if self._family == "vit" else (side, side)
        if self._family in ("googlenet", "inception"):
            own = self.mean is None and self.std is None
            usual |= {"aux_logits": False, "init_weights": True, "transform_input": own}
        return usual


def classifiers() -> list[str]:
    """Return the names of the classification models; torchvision registers others too."""
    from torchvision.models import get_model_builder, list_models

    def is_one(name: str) -> bool:
        module = get_model_builder(name).__module__.split(".")
        return module[:2] != ["torchvision", "models"] or len(module) == 3

    return [name for name in list_models() if is_one(name)]


@dataclass(frozen=True)
class TorchvisionSource(FileSource):
    """A torchvision model with its published weights, or with weights from a file.

    Attributes:
        architecture: the model; its `weights` choose among several published ones.
        file: a weight file to use instead of the published weights.
        domain: the labelled domain that the weights were learned on, if available.
        card: their metadata: origin, licence, trained_on; see `cards.Card`.
    """

    architecture: TorchvisionArchitecture
    file: str | None = None
    domain: Domain | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    def initial(self) -> Backbone:
        """Return the backbone with its pretrained weights."""
        from transfergrid.sources.files import hub, weights
        from transfergrid.sources.files.remembered import remembered

        self.architecture.check()
        file = self.file
        if file is None:
            file = hub.torchvision_file(self.architecture.model, self.architecture.published())
        build = self.architecture.build
        return remembered(self, file, lambda: weights.load(build(), file))

    def told_card(self) -> Card:
        """Return torchvision's metadata of the weights; for a file only if `weights` is given."""
        if self.file is not None and self.architecture.weights is None:
            return Card()
        self.architecture.check()
        published = self.architecture.published()
        if published is None:
            return Card()
        seen = ("ImageNet-1k",) if published.name.startswith("IMAGENET1K") else ()
        swag = ("IG-3.6B",) if "SWAG" in published.name else ()
        meta = published.meta
        return Card(meta.get("recipe") or published.url, meta.get("license"), (*swag, *seen))
