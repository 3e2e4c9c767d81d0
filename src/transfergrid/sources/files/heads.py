"""The head that came with a source's weights, if it is one linear layer on its embeddings."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def linear(held: Mapping[str, Tensor], dim: int) -> nn.Linear | None:
    """Return the linear layer that these tensors form; None if they form none.

    Args:
        held: tensors of the weights that are not the backbone's, by name. They form a layer if
            they are a matrix (outputs, dim) and at most one vector (outputs,).
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
