"""The head that belongs to a source's weights: one linear layer on its embeddings, or none."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def linear(held: Mapping[str, Tensor], dim: int) -> nn.Linear | None:
    """Return the layer that these tensors are; None if they are none, or not one such layer.

    Args:
        held: what weights held beside the backbone, by name: a matrix (outputs, dim) and at most
            one vector (outputs,).
        dim: width of the backbone's embeddings.
    """
    matrices = [tensor for tensor in held.values() if tensor.shape[1:] == (dim,)]
    vectors = [tensor for tensor in held.values() if tensor.ndim == 1]
    if len(matrices) != 1 or len(vectors) > 1 or len(held) != 1 + len(vectors):
        return None  # several layers, or a convolution
    if vectors and len(vectors[0]) != len(matrices[0]):
        return None
    layer = nn.Linear(dim, len(matrices[0]), bias=bool(vectors))
    layer.load_state_dict(dict(zip(("weight", "bias"), [*matrices, *vectors], strict=False)))
    return layer
