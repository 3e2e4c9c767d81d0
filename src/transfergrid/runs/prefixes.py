"""Leading blocks of a network: whether they can be run apart from the others and cached."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from transfergrid.data.inputs import Inputs
from transfergrid.data.views import Prepared, padded
from transfergrid.records.errors import BadInputError
from transfergrid.sources.backbone import Backbone, evaluating
from transfergrid.strategies.base import Strategy


def can_be_cut(backbone: Backbone, blocks: int) -> bool:
    """Return whether the first `blocks` blocks, and the others, can be run by themselves.

    For sequences all outputs must be as long as the inputs, so that each example can be cached by
    itself.
    """
    try:
        prefix = backbone.prefix(blocks)
        backbone.suffix(blocks)
    except BadInputError:
        return False
    if backbone.image_shape is not None:
        return True
    inputs = backbone.example(2)
    if not isinstance(inputs, dict) or "attention_mask" not in inputs:
        return False
    with evaluating(backbone), torch.no_grad():
        made = prefix(inputs)
    return all(part.shape[:2] == inputs["attention_mask"].shape for part in made)


def longest_of(examples: Prepared) -> int:
    """Return the length of the longest sequence of a split; 0 if it is not known."""
    found = examples.lengths(np.arange(len(examples.examples), dtype=np.int64))
    return 0 if found is None else max(1, int(found.max()))


def of_one_length(
    prefix: Callable[[Inputs], tuple[Tensor, ...]], length: int, inputs: Inputs
) -> tuple[Tensor, ...]:
    """Return the blocks' outputs for sequences, padded to one length, and the lengths, (n,)."""
    assert isinstance(inputs, dict)
    own = inputs["attention_mask"].sum(dim=1)
    return (*(padded(part, length) for part in prefix(inputs)), own)


def is_calm(strategy: Strategy, blocks: int) -> bool:
    """Return whether the blocks give the same outputs in train and eval mode: no dropout inside."""
    prefix, mode = strategy.backbone.prefix(blocks), strategy.training
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        inputs = _anything(strategy.backbone.example(2))
        strategy.train()
        training = prefix(inputs)
        strategy.eval()
        same = zip(training, prefix(inputs), strict=True)
    strategy.train(mode)
    return all(torch.equal(one, other) for one, other in same)


def _anything(inputs: Inputs) -> Inputs:
    """Return inputs of the same shape with varied values, for which outputs are not all zero."""
    if isinstance(inputs, Tensor):
        return torch.randn_like(inputs)
    tokens = inputs["input_ids"]
    few = torch.arange(tokens.numel(), device=tokens.device).view_as(tokens) % 3 + 1
    return {**inputs, "input_ids": few}
