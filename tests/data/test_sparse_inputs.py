import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from transfergrid.data.sparse_inputs import linear, matrix_of, padded
from transfergrid.data.text_features import TextFeatures
from transfergrid.data.views import byte_size, take


def a_matrix(n, d, share, seed):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * (rng.random((n, d)) < share)).astype(np.float32)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 8), st.floats(0, 1), st.integers(0, 99))
def test_sparse_inputs_are_the_same_numbers_as_dense_ones(n, d, share, seed):
    dense = a_matrix(n, d, share, seed)
    inputs = padded(csr_matrix(dense))
    found = matrix_of(inputs).toarray()
    np.testing.assert_array_equal(np.pad(found, ((0, 0), (0, d - found.shape[1]))), dense)
    weights = torch.from_numpy(a_matrix(3, d, 1, seed + 1))
    expected = linear(torch.from_numpy(dense), weights)
    torch.testing.assert_close(linear(inputs, weights), expected)


@pytest.mark.parametrize("inputs", [torch.ones(2, 3), padded(csr_matrix(np.ones((2, 3))))])
def test_inputs_are_brought_from_where_they_are(inputs, monkeypatch):
    """As from a GPU, of which NumPy takes nothing."""
    brought, cpu = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: brought.append(self) or cpu(self))
    matrix_of(inputs)
    assert len(brought) == (1 if isinstance(inputs, torch.Tensor) else 2)


def test_rows_can_be_taken():
    dense = a_matrix(5, 7, 0.5, 0)
    rows = torch.tensor([3, 0, 3])
    found = matrix_of(take(padded(csr_matrix(dense)), rows)).toarray()
    np.testing.assert_array_equal(found, dense[rows][:, : found.shape[1]])


def test_many_rare_words_take_little_room():
    texts = [f"word{i} word{i + 1} word{i + 2}" for i in range(3000)]
    features = TextFeatures().fit(texts).transform(texts)
    assert features.shape == (3000, 6003)
    assert byte_size(padded(features)) == 3000 * 5 * 8


def test_dense_inputs_stay_dense():
    dense = torch.arange(12.0).view(2, 2, 3)
    np.testing.assert_array_equal(matrix_of(dense), np.arange(12.0).reshape(2, 6))
