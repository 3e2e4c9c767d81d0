"""Words as features for the classical learner; imports scikit-learn, so import it late."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import TfidfVectorizer

from transfergrid.data.domain import Raw

WORD = r"(?u)\b\w+\b|[^\w\s]"
"""A word of any length, or a sign: in short texts "I" and "?" tell something too."""


class TextFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Tf-idf of words and pairs of neighbouring words, with sublinear counts; sparse.

    The two texts of a pair are joined. Words are those of the texts it was fitted to.
    """

    def fit(self, texts: Raw, labels: Any = None) -> TextFeatures:
        """Collect the words of texts, or of pairs of texts; labels are not used."""
        self.words_ = _vectorizer().fit([_joined(text) for text in texts])
        return self

    def transform(self, texts: Raw) -> Any:
        """Return a sparse matrix (n, words and pairs of words), float64."""
        return self.words_.transform([_joined(text) for text in texts])

    def kept(self) -> dict[str, Any]:
        """Return what `fit` settled as plain JSON values."""
        return {"words": list(self.words_.get_feature_names_out()), "idf": list(self.words_.idf_)}

    def restore(self, kept: dict[str, Any]) -> TextFeatures:
        """Be fitted as the features were that `kept` this."""
        self.words_ = _vectorizer({word: i for i, word in enumerate(kept["words"])})
        self.words_.idf_ = np.asarray(kept["idf"])
        return self


def _vectorizer(vocabulary: dict[str, int] | None = None) -> TfidfVectorizer:
    return TfidfVectorizer(
        token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True, vocabulary=vocabulary
    )


def _joined(text: str | tuple[str, str]) -> str:
    return text if isinstance(text, str) else "\n".join(text)
