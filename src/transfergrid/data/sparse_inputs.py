"""Sparse features as inputs: the nonzero values of each row, padded to the longest row.

As a dense matrix, the words and pairs of words of 7,800 sentences would take 2.4 GB; in this form
they take 7 MB. Rows can still be selected, batched and moved like those of all other inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from transfergrid.data.inputs import Inputs


def padded(matrix: Any) -> dict[str, Tensor]:
    """Return a SciPy sparse matrix (n, d) as `columns` (n, L) int32 and `values` (n, L) float32.

    Rows with fewer values than the longest are padded with column 0 and value 0.
    """
    rows = matrix.tocsr()
    counts = np.diff(rows.indptr)
    filled = np.arange(counts.max(initial=1)) < counts[:, None]
    columns = np.zeros(filled.shape, dtype=np.int32)
    values = np.zeros(filled.shape, dtype=np.float32)
    columns[filled], values[filled] = rows.indices, rows.data
    return {"columns": torch.from_numpy(columns), "values": torch.from_numpy(values)}


def matrix_of(inputs: Inputs) -> NDArray[np.float32] | Any:
    """Return inputs as the matrix (n, d) that scikit-learn takes: dense, or SciPy's sparse one.

    A sparse matrix ends at the last column that has a value.
    """
    if isinstance(inputs, Tensor):
        return inputs.flatten(1).cpu().numpy()
    from scipy.sparse import coo_matrix

    columns, values = (inputs[key].cpu().numpy() for key in ("columns", "values"))
    rows = np.repeat(np.arange(len(columns)), columns.shape[1])
    matrix = coo_matrix((values.ravel(), (rows, columns.ravel()))).tocsr()
    matrix.eliminate_zeros()  # the padding
    return matrix


def linear(inputs: Inputs, weights: Tensor) -> Tensor:
    """Return the product (n, classes) of dense or sparse inputs (n, d) and weights (classes, d)."""
    if isinstance(inputs, Tensor):
        return inputs.to(weights.dtype) @ weights.T
    values = inputs["values"].to(weights.dtype)
    table = weights.T.contiguous()
    return F.embedding_bag(inputs["columns"], table, per_sample_weights=values, mode="sum")
