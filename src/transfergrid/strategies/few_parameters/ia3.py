"""Scale each layer's outputs, or inputs, by a learned vector; train it with a new head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from annotated_types import doc
from torch import Tensor, nn
from torch.nn.utils import parametrize
from typing_extensions import override

from transfergrid.records.needs import Badge
from transfergrid.records.space import Space
from transfergrid.strategies import Baselines, Needs, rates
from transfergrid.strategies.few_parameters.layers import Layer, Rewriting, chosen, inject
from transfergrid.strategies.few_parameters.merging import Merged


class IA3(Merged):
    """Each layer's outputs are scaled, one number a channel, through peft; all else stands still.

    Formula:
        l * (W x + b), or W (l * x) + b in the layers of `feedforward`; every l begins at 1.

    Try it:
        With very few labels, where even a low-rank update is too much. It can reweigh the source's
        features but make no new ones.

    Cost:
        No gradient of a matrix: about two thirds of the time of full fine-tuning. A thousandth of
        the parameters is trained. Once merged, prediction costs nothing more.

    Source:
        Liu et al. 2022, Few-Shot Parameter-Efficient Fine-Tuning, arXiv 2205.05638, section 3.3.

    Args:
        targets: suffixes of the paths of the layers to scale; null: every linear layer and every
            convolution except depthwise ones. The paper scales keys, values and the feed-forward
            layer.
        feedforward: suffixes of the paths of those target layers whose inputs are scaled, not
            outputs.
        merge: whether the saved model holds plain, merged weights; peft is then not needed to use
            it.
        shared: `lr_factor`, `schedule` and what can be added to any method.

    Raises:
        BadInputError: no layer's path ends in one of the targets, or of `feedforward`.
    """

    needs = Needs(layers="some")
    target_statistics = "unseen"
    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    space: ClassVar[Space] = {
        "lr_factor": rates(30.0, brief=9.5, small_images=3.0, images=3.2, text=9.5)
    }
    also_called = ("ia_3", "(ia)^3", "infused_adapter")
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")
    method = "ia3"

    def __init__(
        self,
        targets: Annotated[Sequence[str], doc("ends of paths of layers")] | None = None,
        feedforward: Annotated[Sequence[str], doc("ends of paths of layers")] = (),
        merge: bool = True,
        **shared: Any,
    ) -> None:
        super().__init__(targets, merge, **shared)
        self.feedforward = feedforward

    @override
    def layers(self) -> list[Layer]:
        found = super().layers()
        self._inner(found)
        return found

    def _inner(self, layers: Sequence[Layer]) -> list[Layer]:
        return chosen(layers, self.feedforward, "feedforward", self.backbone.title)

    @override
    def decays(self, name: str) -> bool:
        return False

    @override
    def rewrite(self, layers: Sequence[Layer]) -> None:
        from peft import IA3Config

        inner = self._inner(layers)
        called = [layer for layer in layers if layer.is_called]
        names = {layer.path for layer in inner if layer.is_called}
        inject(self.backbone, called, IA3Config(feedforward_modules=sorted(names)))
        for layer in [layer for layer in layers if not layer.is_called]:
            scale_read(layer.module(self.backbone.network), layer.weight, layer in inner)


def scale_read(module: nn.Module, weight: str, feedforward: bool) -> None:
    """Scale a weight that is read from outside its layer; with outputs, its bias is scaled too."""
    own: Tensor = getattr(module, weight)
    scale = Scale(nn.Parameter(own.new_ones(own.shape[1 if feedforward else 0])), feedforward)
    parametrize.register_parametrization(module, weight, scale)
    bias = weight.removesuffix("weight") + "bias"
    if not feedforward and getattr(module, bias, None) is not None:
        parametrize.register_parametrization(module, bias, Scale(scale.factor, False))


class Scale(Rewriting):
    """Multiplies a tensor by a vector along its first dimension, or its second one."""

    def __init__(self, factor: nn.Parameter, second: bool) -> None:
        super().__init__()
        self.factor, self.second = factor, second

    @override
    def rewritten(self, weight: Tensor) -> Tensor:
        shape = [1] * weight.ndim
        shape[int(self.second)] = -1
        return weight * self.factor.view(shape)
