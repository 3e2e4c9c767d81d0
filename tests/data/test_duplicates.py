"""Copies between train and test: what counts as one, that all are found, and what is then done."""

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from transfergrid.data.copies import duplicates, image_copies
from transfergrid.data.copies.duplicates import order_key, without_copies
from transfergrid.data.copies.found import PAIRS
from transfergrid.data.copies.text_copies import find_copies, similarity, simplified
from transfergrid.data.examples import ArrayExamples, Examples
from transfergrid.data.images.image_files import FileExamples
from transfergrid.data.text import TextExamples
from transfergrid.records.errors import BadInputError

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path_factory.mktemp("cache")))


def texts(*given) -> TextExamples:
    return TextExamples(list(given), np.zeros(len(given), dtype=np.int64))


def noted(pool: Examples, test: Examples, modality: str, key: str = "key") -> dict:
    return without_copies(pool, test, modality, "keep", key)[1]


SENTENCE = "The committee will publish its report on the state of the rivers in early spring"


@pytest.mark.parametrize(
    ("copy", "exact", "near"),
    [
        (SENTENCE, 1, 0),
        (SENTENCE.upper() + "!", 1, 0),
        (SENTENCE.replace(" ", "\n\t") + "...", 1, 0),
        ("“" + SENTENCE.replace("report", "report,") + "”", 1, 0),
        (SENTENCE.replace("early", "late"), 0, 1),
        (SENTENCE.replace("rivers", "river"), 0, 1),
        (SENTENCE.replace("rivers in early spring", "forests and lakes"), 0, 0),
        ("A sentence of other words that has nothing to do with the one above it", 0, 0),
        ("", 0, 0),
    ],
)
def test_a_text_is_an_exact_copy_a_near_one_or_none(copy, exact, near):
    notes = noted(texts("something else entirely", SENTENCE), texts(copy), "text")
    assert (notes["exact"], notes["near"]) == (exact, near)
    if exact or near:
        kind = "exact" if exact else "near"
        assert notes["pairs"] == [{"pool": SENTENCE[:80], "test": copy[:80], "kind": kind}]


def test_texts_of_punctuation_alone_are_told_apart():
    assert noted(texts(":-)", "!"), texts(":-(", "?"), "text")["exact"] == 0
    assert noted(texts(":-)", "!"), texts(":-)", "?"), "text", "same")["exact"] == 1


def test_pairs_are_copies_only_if_both_texts_are():
    pool = texts((SENTENCE, "It rains."))
    assert noted(pool, texts((SENTENCE + ".", "it rains")), "text")["exact"] == 1
    assert noted(pool, texts(("It rains.", SENTENCE)), "text", "turned")["exact"] == 0


def test_very_short_texts_are_no_near_copies_by_chance():
    found = find_copies(
        ["not good", "is bad", "a", "ab", "i"], ["not bad", "is sad", "b", "abc", ""]
    )
    assert not found.exact.any()
    assert not found.near.any()


WORDS = ["a", "the", "of", "river", "rivers", "state", "old", "committee", "spring", "spr", "in"]


@settings(max_examples=40, deadline=None)
@given(
    pool=st.lists(
        st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join), min_size=1, max_size=12
    ),
    test=st.lists(
        st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join), min_size=1, max_size=12
    ),
)
def test_the_search_finds_what_comparing_all_pairs_finds(pool, test):
    found = find_copies(pool, test)
    exact = [[a == b for a in pool] for b in test]
    near = [[similarity(a, b) >= 0.8 for a in pool] for b in test]
    assert found.exact.tolist() == [any(row) for row in exact]
    expected = [any(n) and not any(e) for n, e in zip(near, exact, strict=True)]
    assert found.near.tolist() == expected
    either = np.array(exact) | np.array(near)
    assert found.pool.tolist() == either.any(axis=0).tolist()


def test_nothing_has_no_copies():
    for pool, test in (([], ["a text"]), (["a text"], []), ([], [])):
        found = find_copies(pool, test)
        assert found.fits(len(pool), len(test))
        assert not found.exact.any()


def test_a_large_collection_is_thinned_and_still_searched(monkeypatch):
    monkeypatch.setattr("transfergrid.data.copies.text_copies.MOST_PIECES", 2000)
    rng = random.Random(0)
    letters = "abcdefghijklmnop"
    long = ["".join(rng.choices(letters + " ", k=400)) for _ in range(40)]
    changed = [text[:200] + "zzzz" + text[200:] for text in long[:10]]
    found = find_copies(long, [*changed, "".join(rng.choices(letters, k=400))])
    assert found.near.tolist() == [True] * 10 + [False]
    assert found.pool.tolist() == [True] * 10 + [False] * 30


def test_similarity_is_that_of_jaccard():
    """Pieces of " abcde ": 4 of them; of " abcdf ": 4; in common " abc", "abcd"."""
    assert similarity("abcde", "abcdf") == pytest.approx(2 / 6)
    assert similarity("abcde", "abcde") == 1
    assert simplified("It's  A\u00a0TEST—really!") == "it s a test really"


def photo(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """A picture with large and small shapes, as photographs have."""
    rng = np.random.default_rng(seed)
    layers = []
    for side in (4, 12, 40):
        noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        layers.append(np.asarray(Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)))
    weights = np.array([0.6, 0.32, 0.08])[:, None, None, None]
    return Image.fromarray((np.stack(layers) * weights).sum(axis=0).astype(np.uint8))


def compressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=60)
    return Image.open(buffer)


CHANGES = {
    "compressed": compressed,
    "halved": lambda image: image.resize((48, 40)),
    "doubled": lambda image: image.resize((192, 160)),
    "stretched": lambda image: image.resize((64, 64)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "flatter": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
}


def saved(folder: Path, images: list[Image.Image]) -> FileExamples:
    folder.mkdir()
    files = [folder / f"{i:03}.png" for i in range(len(images))]
    for file, image in zip(files, images, strict=True):
        image.save(file)
    return FileExamples(files, np.arange(len(images), dtype=np.int64) % 2)


@pytest.mark.parametrize("change", CHANGES)
def test_changed_photos_are_near_copies_and_others_are_none(tmp_path, change):
    pool = saved(tmp_path / "pool", [photo(i) for i in range(12)])
    test = saved(tmp_path / "test", [CHANGES[change](photo(i)) for i in (3, 7, 20, 21)])
    kept, notes = without_copies(pool, test, "image", "drop", "key")
    assert (notes["exact"], notes["near"], notes["dropped"]) == (0, 2, 2)
    here = tmp_path.name
    assert notes["pairs"][0] == {
        "pool": f"{here}/pool/003.png",
        "test": f"{here}/test/000.png",
        "kind": "near",
    }
    left = [i for i in range(12) if i not in (3, 7)]
    assert kept.labels.tolist() == [i % 2 for i in left]
    np.testing.assert_array_equal(kept.read(np.array([3]))[0], np.asarray(photo(4)))


def test_equal_pixels_in_another_format_are_an_exact_copy(tmp_path):
    pool, test = (saved(tmp_path / name, [photo(1), photo(n)]) for n, name in ((2, "p"), (3, "t")))
    photo(1).save(tmp_path / "t" / "000.png", format="bmp")
    assert noted(pool, test, "image")["exact"] == 1


def arrays(*images: np.ndarray) -> ArrayExamples:
    stacked = np.stack(images).astype(np.uint8)
    return ArrayExamples(stacked, np.zeros(len(stacked), dtype=np.int64))


def test_images_of_one_colour_are_copies_only_if_exact():
    flat = [np.full((8, 8, 1), value) for value in (10, 10, 200)]
    notes = noted(arrays(flat[0]), arrays(*flat[1:]), "image")
    assert (notes["exact"], notes["near"]) == (1, 0)


def test_other_colours_make_another_image():
    image = np.asarray(photo(0))
    turned = np.roll(image, 1, axis=2)
    assert noted(arrays(image), arrays(turned), "image")["near"] == 0


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_copies_among_images_of_any_number_of_channels(channels):
    rng = np.random.default_rng(channels)
    images = rng.integers(0, 256, (6, 9, 9, channels), dtype=np.uint8)
    notes = noted(arrays(*images[:4]), arrays(*images[3:]), "image")
    assert (notes["exact"], notes["near"]) == (1, 0)


def test_passing_over_distant_pairs_loses_none():
    """Coarse distances are no larger than full ones, so comparing all pairs finds the same."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 200, (40, 32, 32, 3))
    noise = rng.normal(0, 1, base.shape) * np.linspace(2, 12, 40)[:, None, None, None]
    pool, test = arrays(*base), arrays(*np.clip(base + noise, 0, 255))
    units = [image_copies.unit_vectors(part.images) for part in (pool, test)]
    alike = units[1] @ units[0].T >= image_copies.SIMILAR
    found = image_copies.find_copies(pool, test)
    assert 5 < alike.any(axis=1).sum() < 35
    assert found.near.tolist() == alike.any(axis=1).tolist()
    assert found.pool.tolist() == alike.any(axis=0).tolist()


def test_keeping_changes_nothing_but_counts():
    pool = texts("one text", "another text", "one text")
    kept, notes = without_copies(pool, texts("One text!"), "text", "keep", "key")
    assert kept is pool
    assert (notes["exact"], notes["dropped"]) == (1, 0)


def test_dropping_takes_every_copy_and_keeps_groups_and_order():
    pool = TextExamples(
        ["one text", "b", "One text.", "d"], np.arange(4), np.array(["p", "q", "r", "s"])
    )
    kept, notes = without_copies(pool, texts("one text"), "text", "drop", "key")
    assert notes["dropped"] == 2
    assert kept.labels.tolist() == [1, 3]
    assert kept.groups.tolist() == ["q", "s"]
    assert kept.read(np.array([1, 0])) == ["d", "b"]


def test_a_few_pairs_are_named_however_many_there_are():
    many = texts(*(f"{SENTENCE} {i}" for i in range(30)))
    notes = noted(many, many, "text")
    assert notes["exact"] == 30
    assert len(notes["pairs"]) == PAIRS
    assert json.loads(json.dumps(notes)) == notes


def test_what_was_found_is_remembered_under_its_key(monkeypatch):
    pool, test = texts("one text"), texts("one text", "two")
    first = noted(pool, test, "text")
    with monkeypatch.context() as patched:
        patched.setattr("transfergrid.data.copies.text_copies.find_copies", lambda *a: 1 / 0)
        assert noted(pool, test, "text") == first
        with pytest.raises(ZeroDivisionError):
            without_copies(pool, test, "text", "keep", "another key")
        with pytest.raises(ZeroDivisionError):
            noted(pool, texts("one text"), "text")  # a key that was used twice
    for file in duplicates.cache_folder().rglob("*.json"):
        file.write_text("{broken")
    assert noted(pool, test, "text") == first


def test_a_key_tells_order_and_splits_apart():
    keys = [order_key(*p) for p in (("ab", "c"), ("ba", "c"), ("a", "bc"), ("abc", ""))]
    assert len(set(keys)) == 4


def test_an_unknown_mode_is_refused():
    with pytest.raises(BadInputError, match="unknown duplicates 'dropp'; did you mean drop"):
        without_copies(texts("a"), texts("b"), "text", "dropp", "key")


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize(
    ("name", "distinct", "exact", "most_near"), [("mpqa", 252, 318, 20), ("trec6", 11, 11, 5)]
)
def test_copies_in_real_texts(name, distinct, exact, most_near):
    """252 of mpqa's 988 distinct test phrases also stand in train, as its SOURCE.txt says."""
    pool, test = (
        [json.loads(line)["text"] for line in file.read_text().splitlines()]
        for file in (SHARED / "text" / name / f"{part}.jsonl" for part in ("train", "test"))
    )
    found = find_copies(pool, test)
    assert len({simplified(test[i]) for i in np.flatnonzero(found.exact)}) == distinct
    assert found.exact.sum() == exact
    assert found.near.sum() <= most_near


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_copies_in_real_images():
    """Two flowers are one photograph; chest X-rays are alike, and yet no copies."""
    from transfergrid.data.arrays import Arrays
    from transfergrid.data.image_folder import ImageFolder

    notes = ImageFolder(str(SHARED / "images/flowers")).load().notes["duplicates"]
    assert (notes["exact"], notes["near"]) == (0, 1)
    assert notes["pairs"][0]["pool"].endswith("daisy/10466290366_cc72e33532.jpg")
    scans = SHARED / "images/pneumoniamnist_subset/pneumoniamnist_subset.npz"
    notes = Arrays(str(scans)).load().notes["duplicates"]
    assert (notes["exact"], notes["near"]) == (0, 0)
