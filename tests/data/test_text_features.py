import numpy as np
import pytest

from transfergrid.data.text_features import TextFeatures


def words(featuriser):
    return set(featuriser.words_.get_feature_names_out())


def test_words_pairs_of_words_and_signs_are_features():
    fitted = TextFeatures().fit(["Am I late ?"])
    assert words(fitted) == {"am", "i", "late", "?", "am i", "i late", "late ?"}


def test_unseen_words_count_for_nothing_and_lengths_are_equal():
    texts = ["good film", "a bad film", "bad bad bad bad"]
    features = TextFeatures().fit(texts).transform([*texts, "utterly new"]).toarray()
    lengths = np.linalg.norm(features, axis=1)
    np.testing.assert_allclose(lengths[:3], lengths[0])
    assert lengths[3] == 0


def test_the_texts_of_a_pair_are_joined():
    pair = TextFeatures().fit([("a man", "sleeps")])
    assert words(pair) == {"a", "man", "sleeps", "a man", "man sleeps"}


@pytest.mark.parametrize("texts", [[""], ["  ", ""]])
def test_texts_without_words_have_no_features(texts):
    assert TextFeatures().fit(texts).transform(texts).nnz == 0
