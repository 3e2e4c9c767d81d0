"""Domains that need no files: digits, glyphs, noise; and what all domains share."""

import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline

from transfergrid.data.budgets import draw
from transfergrid.data.digits import Digits
from transfergrid.data.examples import ArrayExamples
from transfergrid.data.glyphs import FONTS, Glyphs
from transfergrid.data.noise import Noise
from transfergrid.records.errors import BadInputError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DOMAINS = [Digits(), Glyphs(per_class=30, test_per_class=10), Noise(per_class=30)]


def everything(examples):
    return examples.read(np.arange(len(examples)))


def score(domain, learner, chosen=None):
    loaded = domain.load()
    chosen = np.arange(len(loaded.pool)) if chosen is None else chosen
    model = make_pipeline(domain.featuriser(), learner)
    model.fit(loaded.pool.read(chosen), loaded.pool.labels[chosen])
    return model.score(everything(loaded.test), loaded.test.labels)


@pytest.fixture(scope="module")
def glyphs():
    return Glyphs(per_class=100, test_per_class=50).load()


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: type(domain).__name__)
def test_loading_twice_gives_the_same_bytes(domain):
    domain.check()
    first, second = domain.load(), domain.load()
    for split in ("pool", "test"):
        one, two = getattr(first, split), getattr(second, split)
        np.testing.assert_array_equal(one.labels, two.labels)
        np.testing.assert_array_equal(everything(one), everything(two))


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: type(domain).__name__)
def test_images_are_bytes_and_every_class_is_in_both_splits(domain):
    loaded = domain.load()
    assert loaded.classes == domain.classes
    for examples in (loaded.pool, loaded.test):
        images = everything(examples)
        assert images.dtype == np.uint8
        assert images.shape[3] == 1
        assert examples.labels.dtype == np.int64
        assert set(examples.labels) == set(range(len(domain.classes)))


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: type(domain).__name__)
def test_no_image_is_in_both_splits(domain):
    loaded = domain.load()
    pool, test = ({image.tobytes() for image in everything(e)} for e in (loaded.pool, loaded.test))
    assert not pool & test


def test_examples_are_read_in_the_order_asked():
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    examples = ArrayExamples(images, np.arange(5))
    assert examples.read(np.array([3, 0, 3])).ravel().tolist() == [3, 0, 3]


def test_examples_need_a_label_each():
    with pytest.raises(ValueError, match="5 images but 4 labels"):
        ArrayExamples(np.zeros((5, 1, 1, 1), np.uint8), np.arange(4))


def test_digits_are_split_in_proportion():
    loaded = Digits().load()
    assert (len(loaded.pool), len(loaded.test)) == (1000, 797)
    share = np.bincount(loaded.test.labels) / np.bincount(loaded.pool.labels)
    assert np.all(np.abs(share - 0.797) < 0.02)
    assert everything(loaded.pool).max() == 255


@pytest.mark.parametrize(
    ("budget", "mean", "sd"), [(1, 64.7, 4.8), (5, 85.8, 1.7), (20, 92.7, 0.9)]
)
def test_logistic_regression_on_digits_scores_as_known(budget, mean, sd):
    labels, runs = Digits().load().pool.labels, 10
    draws = [draw(labels, 10, budget, seed, "balanced") for seed in range(runs)]
    chosen = [np.union1d(found.train, found.validation) for found in draws]
    scores = [100 * score(Digits(), LogisticRegression(max_iter=1000), part) for part in chosen]
    # three standard errors of the mean, and half a point for another split and scale of pixels
    assert np.mean(scores) == pytest.approx(mean, abs=3 * sd / np.sqrt(runs) + 0.5)


def test_glyphs_are_light_strokes_on_black_inside_the_frame(glyphs):
    images = everything(glyphs.pool)[..., 0].astype(float)
    assert images.shape[1:] == (16, 16)
    assert np.median(images) == 0
    assert 0.1 < np.mean(images / 255) < 0.3
    assert np.all(images.max(axis=(1, 2)) > 80)
    border = np.concatenate([images[:, [0, -1]].ravel(), images[:, :, [0, -1]].ravel()])
    assert border.mean() < images[:, 4:12, 4:12].mean() / 4


def test_glyph_digits_can_be_learned(glyphs):
    domain = Glyphs(per_class=100, test_per_class=50)
    assert score(domain, LogisticRegression(max_iter=500)) > 0.85
    assert score(domain, NearestCentroid()) > 0.6


def test_glyphs_know_something_of_handwriting_but_not_all(glyphs):
    digits = Digits().load()
    features = Digits().featuriser().fit(everything(digits.test))
    model = LogisticRegression(max_iter=500)
    model.fit(unit(features.transform(everything(glyphs.pool))), glyphs.pool.labels)
    found = model.score(unit(features.transform(everything(digits.test))), digits.test.labels)
    assert 0.5 < found < 0.85


def unit(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def test_a_characters_images_do_not_depend_on_the_others():
    two, three = (Glyphs(characters=c, per_class=5, test_per_class=1).load() for c in ("AB", "XAB"))
    np.testing.assert_array_equal(everything(two.pool), everything(three.pool)[5:])


def test_another_seed_draws_other_glyphs_and_all_fonts_are_used():
    first, second = (Glyphs(characters="AB", per_class=5, seed=s).load() for s in (0, 1))
    assert np.any(everything(first.pool) != everything(second.pool))
    assert first.notes["fonts"] == list(FONTS)


def test_letters_are_drawn_too_and_quickly():
    start = time.process_time()
    loaded = Glyphs(characters=LETTERS, per_class=50, test_per_class=5).load()
    assert loaded.classes == tuple(LETTERS)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"characters": 123}, "characters must be text"),
        ({"characters": "A"}, "two or more"),
        ({"characters": "ABA"}, "two or more different"),
        ({"characters": "A B"}, "no font"),
        ({"characters": "漢字"}, "no font"),
        ({"size": 2}, "size must be a whole number from 4"),
        ({"per_class": 0}, "per_class must be"),
        ({"seed": -1}, "seed must be"),
        ({"metric": "accurracy"}, "did you mean accuracy"),
        ({"sampling": "naturall"}, "did you mean natural"),
    ],
)
def test_glyphs_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(BadInputError, match=message):
        Glyphs(**arguments).check()


def test_noise_cannot_be_learned():
    accuracy = score(Noise(), LogisticRegression(max_iter=200))
    assert accuracy == pytest.approx(0.1, abs=4 * np.sqrt(0.1 * 0.9 / 1000))


def test_noise_with_one_class_is_refused():
    with pytest.raises(BadInputError, match="n_classes must be a whole number from 2"):
        Noise(n_classes=1).check()


def test_features_fit_images_of_unequal_size_and_colour():
    rng = np.random.default_rng(0)
    shapes = [(40, 20, 3), (8, 8, 1), (33, 50, 3)]
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    features = Digits().featuriser().fit_transform(images)
    assert features.shape == (3, 32 * 32 * 3)
    assert features.min() >= 0
    assert features.max() <= 1


def test_features_of_small_grey_images_are_their_pixels():
    images = np.arange(2 * 16, dtype=np.uint8).reshape(2, 4, 4, 1)
    features = Digits().featuriser().fit_transform(images)
    np.testing.assert_allclose(features, images.reshape(2, 16) / 255, rtol=1e-6)


def test_describing_domains_imports_nothing_heavy():
    modules = ["digits", "glyphs", "noise", "image_folder", "arrays"]
    code = f"import sys; from transfergrid.data import {', '.join(modules)}; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "sklearn", "matplotlib", "PIL", "scipy"} & set(out.stdout.split())
