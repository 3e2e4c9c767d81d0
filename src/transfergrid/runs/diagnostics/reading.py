"""Passes a few examples through a backbone in eval mode, without changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from transfergrid.data.inputs import Inputs
from transfergrid.data.views import View, byte_size, prepared, take
from transfergrid.records.findings import Statistics
from transfergrid.records.seeds import generator
from transfergrid.runs.cost import as_precise
from transfergrid.sources.backbone import Backbone, evaluating, last_module

Indices = NDArray[np.int64]
Pooled = NDArray[np.float64]
HELD_BYTES = 64 * 2**20
"""Largest size of a sample's prepared inputs that are kept in memory for its next pass."""


class Sample:
    """A few examples of a part, drawn by their number alone.

    Args:
        read: returns the prepared inputs of examples, given their indices.
        view: a view of these examples only.
    """

    def __init__(self, read: Callable[[Indices], Inputs], view: View) -> None:
        self._read, self.view = read, view
        self.preprocess, self.indices = view.prepared.preprocess, view.indices
        self._held: Inputs | None = None

    @classmethod
    def of_view(cls, view: View, rows: Indices) -> Sample:
        """Return a sample of these rows of a view."""
        return cls(view.prepared.rows, view.part(rows))

    @classmethod
    def of_few(cls, view: View) -> Sample:
        """Return a sample of a whole view of few examples; the split's others are not read."""
        examples, preprocess = view.prepared.examples, view.prepared.preprocess
        return cls(lambda rows: prepared(preprocess, examples, rows), view)

    def __len__(self) -> int:
        return len(self.indices)

    def part(self, rows: Indices) -> Sample:
        """Return a sample of some of these examples."""
        return Sample(self._read, self.view.part(rows))

    def batches(self, size: int) -> Iterator[Inputs]:
        """Yield the examples as inputs, in order, not augmented."""
        every = np.arange(len(self), dtype=np.int64)
        for rows in np.array_split(every, -(-len(self) // size)):  # no batch of one example
            yield self.preprocess.finish(self._prepared(rows), "none", None)

    def _prepared(self, rows: Indices) -> Inputs:
        if self._held is None:
            some = self._read(self.indices[rows])
            if byte_size(some) * len(self) > HELD_BYTES * len(rows):
                return some
            self._held = some if len(rows) == len(self) else self._read(self.indices)
        return take(self._held, torch.from_numpy(rows))


def spread(n: int, most: int) -> Indices:
    """Return at most `most` of `n` rows, in order, always the same ones.

    They are drawn at random: with evenly spaced rows all might be of one class.
    """
    if n <= most:
        return np.arange(n, dtype=np.int64)
    drawn = generator(0, "diagnostics").choice(n, most, replace=False)
    return np.asarray(np.sort(drawn), dtype=np.int64)


@dataclass
class Seen:
    """What a pass of a sample through a backbone gave."""

    embeddings: Pooled
    blocks: list[Pooled | None] = field(default_factory=list)
    """Outputs of the coarse blocks, means over positions or tokens, (n, channels) each."""
    statistics: Statistics | None = None
    watched: int = 0
    """How many examples the statistics are of."""


def look(
    backbone: Backbone,
    sample: Sample,
    batch: int,
    device: torch.device,
    blocks: bool = False,
    statistics: bool = False,
    renormalised: bool = False,
) -> Seen:
    """Embed a sample; modes, device and buffers are afterwards as before.

    Args:
        backbone: in any mode; it is used in eval mode.
        sample: the examples to embed.
        batch: batch size.
        device: where to run.
        blocks: whether to keep the outputs of its coarse blocks too.
        statistics: whether to compare the inputs of BatchNorm layers with running statistics.
        renormalised: whether BatchNorm uses each batch's own statistics.
    """
    outputs, norms = Outputs(backbone) if blocks else None, Moments(backbone)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(evaluating(backbone))
        stack.enter_context(on_device(backbone, device))
        if statistics:
            stack.enter_context(norms.watched())
        if renormalised:
            stack.enter_context(norms.by_batch())
        if outputs is not None:
            stack.enter_context(outputs.watched())
        parts = [embed(backbone, inputs, device) for inputs in sample.batches(batch)]
        found = norms.summary()
    watched = len(sample) if found is not None else 0
    return Seen(np.concatenate(parts), outputs.pooled() if outputs else [], found, watched)


def embed(backbone: Backbone, inputs: Inputs, device: torch.device) -> Pooled:
    """Return the embeddings of a batch (n, dim); raise `ValueError` if one is not finite."""
    return finite(as_array(backbone.embed(as_precise(moved(inputs, device), backbone))))


def finite(embeddings: Pooled) -> Pooled:
    """Return embeddings as they are; raise `ValueError` if one is not finite."""
    if not np.isfinite(embeddings).all():
        raise ValueError("the embeddings are not finite")
    return embeddings


def as_array(tensor: Tensor) -> Pooled:
    """Return a tensor as a float64 NumPy array."""
    return np.asarray(tensor.detach().float().cpu().numpy(), dtype=np.float64)


def moved(inputs: Inputs, device: torch.device) -> Inputs:
    """Return inputs on a device."""
    if isinstance(inputs, dict):
        return {name: value.to(device) for name, value in inputs.items()}
    return inputs.to(device)


@contextmanager
def on_device(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Move a module to a device and back again."""
    before = next((p.device for p in module.parameters()), device)
    module.to(device)
    try:
        yield
    finally:
        module.to(before)


class Outputs:
    """Records the output of each coarse block that ends with one module."""

    def __init__(self, backbone: Backbone) -> None:
        self.modules = [last_module(backbone, block) for block in backbone.blocks("coarse")]
        self.caught: list[list[Pooled]] = [[] for _ in self.modules]

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Record outputs inside the block."""
        handles = [
            module.register_forward_hook(self._catch(place))
            for place, module in enumerate(self.modules)
            if module is not None
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _catch(self, place: int) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, (tuple, list)) else output
            if isinstance(tensor, Tensor) and tensor.ndim >= 2:
                self.caught[place].append(as_array(pooled(tensor)))

        return hook

    def pooled(self) -> list[Pooled | None]:
        """Return the outputs, (n, channels) each; None for a block without a recorded output."""
        return [_joined(parts) for parts in self.caught]


def _joined(parts: list[Pooled]) -> Pooled | None:
    if not parts or len({part.shape[1:] for part in parts}) > 1:
        return None
    return np.concatenate(parts)


def pooled(output: Tensor) -> Tensor:
    """Return (batch, channels): the mean over positions of a map, or over tokens of a sequence."""
    if output.ndim == 4:  # some image transformers have the channels last
        last = output.shape[1] == output.shape[2] != output.shape[3]
        return output.mean(dim=(1, 2) if last else (2, 3))
    return output.mean(dim=tuple(range(1, output.ndim - 1))) if output.ndim > 2 else output


class Moments:
    """Means and variances of the inputs of BatchNorm layers, per channel."""

    def __init__(self, backbone: nn.Module) -> None:
        self.layers = {
            name: module
            for name, module in backbone.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
            and module.running_mean is not None
            and module.track_running_stats
        }
        self.sums: dict[str, list[Tensor]] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Record the moments of the layers' inputs inside the block."""
        handles = [
            layer.register_forward_pre_hook(self._catch(name))
            for name, layer in self.layers.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def of_each(self, embed: Callable[[], object]) -> Tensor:
        """Return each example's means and mean squares of the layers' inputs in one pass.

        The result is (n, 2 * channels of all layers), layer by layer; NaN for a layer that is not
        called. Raises `ValueError` if a layer is called more than once.
        """
        caught: dict[str, Tensor] = {}

        def catch(name: str, inputs: Tensor) -> None:
            if name in caught:
                raise ValueError(f"BatchNorm layer {name} is passed twice")
            values = inputs.detach().float().flatten(2) if inputs.ndim > 2 else inputs[..., None]
            caught[name] = torch.cat([values.mean(2), values.square().mean(2)], dim=1)

        with ExitStack() as stack:
            for name, layer in self.layers.items():
                hook = partial(_first_input, partial(catch, name))
                stack.callback(layer.register_forward_pre_hook(hook).remove)
            embed()
        one = next(iter(caught.values()))
        for name in self.layers.keys() - caught.keys():
            width = 2 * self.layers[name].num_features
            caught[name] = one.new_full((len(one), width), torch.nan)
        return torch.cat([caught[name] for name in self.layers], dim=1)

    def take(self, each: Tensor) -> None:
        """Set the moments to the mean over examples of what `of_each` returned."""
        widths = [2 * layer.num_features for layer in self.layers.values()]
        for name, part in zip(self.layers, torch.split(each.mean(dim=0), widths), strict=True):
            if not part.isnan().any():
                mean, squares = part.chunk(2)
                self.sums[name] = [torch.ones_like(mean), mean, squares]

    @contextmanager
    def by_batch(self) -> Iterator[None]:
        """Let the layers normalise by batch statistics, without updating running statistics."""
        for layer in self.layers.values():
            layer.training, layer.track_running_stats = True, False
        try:
            yield
        finally:
            for layer in self.layers.values():
                layer.training, layer.track_running_stats = False, True

    def _catch(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0].detach().float()
            over = [d for d in range(values.ndim) if d != 1]
            variance, mean = torch.var_mean(values, dim=over, correction=0)
            size = values.numel() / values.shape[1]
            new = [mean.new_tensor(size), mean * size, (variance + mean**2) * size]
            old = self.sums.get(name)
            self.sums[name] = new if old is None else [a + b for a, b in zip(old, new, strict=True)]

        return hook

    def summary(self) -> Statistics | None:
        """Compare the recorded moments with the running statistics; None if there are none."""
        found = {name: self._mismatch(name) for name in self.sums}
        if not found:
            return None
        worst = max(found, key=lambda name: sum(found[name]))
        means = np.array(list(found.values())).mean(axis=0)
        return Statistics(
            layers=len(found),
            mean_shift=brief(means[0]),
            log_variance=brief(means[1]),
            worst_layer=worst.removeprefix("network."),
            worst_mean_shift=brief(found[worst][0]),
            worst_log_variance=brief(found[worst][1]),
        )

    def _mismatch(self, name: str) -> tuple[float, float]:
        layer, (size, total, squares) = self.layers[name], self.sums[name]
        mean = total / size
        variance = (squares / size - mean**2).clamp_min(0)
        expected, spread_ = layer.running_mean, layer.running_var
        assert expected is not None
        assert spread_ is not None
        shift = (mean - expected).abs() / (spread_ + layer.eps).sqrt()
        ratio = ((variance + layer.eps) / (spread_ + layer.eps)).log().abs()
        return float(shift.mean()), float(ratio.mean())


def _first_input(catch: Callable[[Tensor], None], layer: nn.Module, inputs: Any) -> None:
    catch(inputs[0])


def brief(value: float) -> float:
    """Return a number rounded to four significant digits, for the record."""
    return float(f"{value:.4g}")
