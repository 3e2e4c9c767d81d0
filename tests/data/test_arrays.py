import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from transfergrid.data.arrays import Arrays
from transfergrid.data.copies.found import Copies
from transfergrid.data.features import ImageFeatures
from transfergrid.records.errors import BadInputError

SHARED = Path(__file__).parents[3] / "shared" / "data" / "images"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path_factory.mktemp("cache")))


def images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def whole(**changes):
    content = {
        "x_train": images(12, 5, 4),
        "y_train": np.arange(12) % 3,
        "x_test": images(6, 5, 4, seed=1),
        "y_test": np.arange(6) % 3,
        **changes,
    }
    return {key: value for key, value in content.items() if value is not None}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "scans.npz"


def loaded(file, content, **arguments):
    np.savez(file, **content)
    domain = Arrays(str(file), **arguments)
    domain.check()
    assert domain.load().classes == domain.classes
    return domain.load()


def refused(message, file, content, **arguments):
    np.savez(file, **content)
    with pytest.raises(BadInputError, match=message) as caught:
        Arrays(str(file), **arguments).check()
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def pixels(examples):
    return examples.read(np.arange(len(examples)))


def test_named_splits_are_taken_as_they_are(file):
    content = whole(class_names=np.array(["a", "b", "c"]), extra=np.arange(3))
    found = loaded(file, content)
    assert found.classes == ("a", "b", "c")
    np.testing.assert_array_equal(pixels(found.pool)[..., 0], content["x_train"])
    np.testing.assert_array_equal(pixels(found.test)[..., 0], content["x_test"])
    np.testing.assert_array_equal(found.test.labels, content["y_test"])
    assert found.notes["unused_arrays"] == ["extra"]


def test_validation_arrays_join_the_pool(file):
    found = loaded(file, whole(x_val=images(3, 5, 4), y_val=np.array([2, 1, 0])))
    assert len(found.pool) == 15
    assert found.pool.labels[-3:].tolist() == [2, 1, 0]


def test_a_share_of_each_class_can_be_the_test_split(file):
    content = {"x": images(40, 5, 4), "y": np.repeat([0, 1], [30, 10])}
    found = loaded(file, content, test_split=0.2)
    assert np.bincount(found.test.labels).tolist() == [6, 2]
    both = np.concatenate([pixels(found.pool), pixels(found.test)])
    assert {x.tobytes() for x in both} == {x.tobytes() for x in content["x"]}


def test_training_arrays_without_test_can_be_split_too(file):
    found = loaded(file, whole(x_test=None, y_test=None), test_split=0.25)
    assert (len(found.pool), len(found.test)) == (9, 3)


def test_channels_first_or_last(file):
    last = images(12, 5, 4, 3)
    test = images(6, 5, 4, 3)
    first = {"x_train": np.moveaxis(last, 3, 1), "x_test": np.moveaxis(test, 3, 1)}
    np.testing.assert_array_equal(pixels(loaded(file, whole(**first)).pool), last)
    np.testing.assert_array_equal(pixels(loaded(file, whole(x_train=last, x_test=test)).pool), last)


@pytest.mark.parametrize("shape", [(5, 4, 2), (6, 7, 4), (6, 6, 5), (9, 9, 200), (40, 32, 12)])
def test_any_number_of_channels_first_or_last(file, shape):
    last, test = images(12, *shape), images(6, *shape)
    first = {"x_train": np.moveaxis(last, 3, 1), "x_test": np.moveaxis(test, 3, 1)}
    np.testing.assert_array_equal(pixels(loaded(file, whole(**first)).pool), last)
    np.testing.assert_array_equal(pixels(loaded(file, whole(x_train=last, x_test=test)).pool), last)


def test_sixteen_bits_are_scaled_by_their_whole_range(file):
    deep = {key: (whole()[key].astype(np.uint16) * 257) for key in ("x_train", "x_test")}
    found = loaded(file, whole(**deep))
    np.testing.assert_array_equal(pixels(found.pool)[..., 0], whole()["x_train"])
    refused("0 to 255", file, whole(x_train=deep["x_train"]))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("fitted", [1, 2, 3, 5])
def test_plain_features_take_any_number_of_channels(channels, fitted):
    features = ImageFeatures().fit(images(3, 9, 8, fitted))
    found = features.transform(images(5, 9, 8, channels))
    assert found.shape == (5, 9 * 9 * fitted)
    assert found.min() >= 0
    assert found.max() <= 1


def test_plain_features_repeat_grey_and_fill_with_the_mean():
    grey, pair = images(1, 8, 8, 1), images(1, 8, 8, 2)
    features = ImageFeatures().fit(images(1, 8, 8, 3))
    np.testing.assert_array_equal(
        features.transform(grey), features.transform(np.repeat(grey, 3, axis=3))
    )
    filled = features.transform(pair).reshape(8, 8, 3)
    np.testing.assert_allclose(filled[..., 2], filled[..., :2].mean(axis=2), atol=0.5 / 255 + 1e-6)


def test_floats_from_0_to_1_and_from_0_to_255_are_the_same_images(file):
    plain = whole()
    for factor in (1.0, 1 / 255):
        kind = {key: (plain[key] * factor).astype(np.float32) for key in ("x_train", "x_test")}
        np.testing.assert_array_equal(
            pixels(loaded(file, whole(**kind)).pool)[..., 0], plain["x_train"]
        )


def test_a_dim_split_is_not_brightened_by_itself(file):
    dim = whole(x_test=np.ones((6, 5, 4)))
    assert pixels(loaded(file, dim).test).max() == 1


def test_black_and_white_becomes_dark_and_bright(file):
    content = whole(x_train=images(12, 5, 4) > 127, x_test=images(6, 5, 4) > 127)
    assert set(pixels(loaded(file, content).pool).ravel()) == {0, 255}


def test_labels_may_be_text_columns_or_gapped_numbers(file):
    text = np.array(["no", "yes", "maybe"])
    found = loaded(file, whole(y_train=text[np.arange(12) % 3], y_test=text[np.arange(6) % 3]))
    assert found.classes == ("maybe", "no", "yes")
    assert [found.classes[c] for c in found.test.labels[:3]] == ["no", "yes", "maybe"]
    gaps = np.array([[10], [-1], [5]])
    found = loaded(file, whole(y_train=gaps[np.arange(12) % 3], y_test=gaps[np.arange(6) % 3]))
    assert found.classes == ("-1", "5", "10")
    assert found.test.labels[:3].tolist() == [2, 0, 1]
    assert loaded(file, whole(y_train=np.arange(12.0) % 3)).classes == ("0", "1", "2")


def test_class_names_give_text_labels_their_order(file):
    text = np.array(["b", "a", "c"])
    labels = {"y_train": text[np.arange(12) % 3], "y_test": text[np.arange(6) % 3]}
    found = loaded(file, whole(**labels, class_names=text))
    assert found.classes == ("b", "a", "c")
    assert found.test.labels[:3].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "lacks y_test; it has x_test, x_train, y_train"),
        ({"x_train": None, "y_train": None}, "lacks x_train, y_train; it has"),
        ({"y_train": np.arange(12) / 2}, "y_train must hold whole numbers or text.*0.5"),
        ({"y_train": np.full(12, np.nan)}, "y_train must hold whole numbers"),
        ({"y_train": np.eye(12)}, "one label per image"),
        ({"y_train": np.arange(11) % 3}, "x_train has 12 images, but y_train 11 labels"),
        ({"y_train": np.zeros(12, int)}, "only one class: 0"),
        ({"y_test": np.full(6, 7)}, "y_test has labels that are no class: 7"),
        ({"y_test": np.array(["a"] * 6)}, "y_test must hold numbers"),
        ({"class_names": np.array(["a", "b"])}, "y_train has labels that are no class: 2"),
        ({"class_names": np.array(["a", "b", "b"])}, "same name twice"),
        (
            {"class_names": np.array(list("abcd")), "y_test": np.full(6, 3)},
            "y_test has classes that the training labels lack: d",
        ),
        ({"x_train": images(12, 20)}, r"must hold images \(n, H, W\)"),
        ({"x_train": images(0, 5, 4)}, "must hold images"),
        ({"x_train": images(12, 4, 4, 4)}, "cannot tell the channels of x_train"),
        ({"x_train": images(12, 2, 9, 2)}, "cannot tell the channels of x_train"),
        ({"x_test": images(6, 5, 5)}, "x_test has images of shape"),
        ({"x_train": np.full((12, 5, 4), 256)}, "0 to 255"),
        ({"x_train": np.full((12, 5, 4), -1.0)}, "0 to 255"),
        ({"x_train": np.full((12, 5, 4), np.nan)}, "0 to 255"),
        ({"x_train": np.full((12, 5, 4), "a")}, "x_train must hold numbers"),
        ({"y_train": np.array([0, "a", None] * 4, dtype=object)}, "y_train holds pickled Python"),
        ({"x_train": np.array([{}] * 12, dtype=object)}, "x_train holds pickled Python objects"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(file, changes, message):
    refused(message, file, whole(**changes))


def test_copies_are_counted_and_dropped_on_request(file):
    content = whole()
    content["x_test"] = np.concatenate([content["x_test"][:4], content["x_train"][[7, 11]]])
    kept = loaded(file, content)
    assert (kept.notes["duplicates"]["exact"], kept.notes["duplicates"]["dropped"]) == (2, 0)
    dropped = loaded(file, content, duplicates="drop")
    assert (len(dropped.pool), dropped.notes["duplicates"]["dropped"]) == (10, 2)
    left = np.delete(content["x_train"], [7, 11], axis=0)
    np.testing.assert_array_equal(pixels(dropped.pool)[..., 0], left)
    np.testing.assert_array_equal(pixels(dropped.test)[..., 0], content["x_test"])
    with pytest.raises(BadInputError, match="unknown duplicates 'dorp'; did you mean drop"):
        Arrays(str(file), duplicates="dorp").check()


def test_dropping_may_not_empty_a_class(file):
    content = whole()
    content["x_test"] = content["x_train"][[2, 5, 8, 11, 0, 1]]
    refused("duplicates=drop leaves nothing of class '2'", file, content, duplicates="drop")


def test_something_to_test_on_must_be_there_once(file):
    refused("test_split=0.2", file, {"x": images(4, 3, 3), "y": np.arange(4) % 2})
    refused("leave out test_split", file, whole(), test_split=0.2)
    with pytest.raises(BadInputError, match="test_split must be a share between 0 and 1"):
        Arrays(str(file), test_split=2)


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    trap = tmp_path / "trap.npz"
    trap.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(BadInputError, match="is no npz archive"):
        Arrays(str(trap)).check()
    np.savez(trap, **whole(y_train=np.array([Trap()] * 12, dtype=object)))
    with pytest.raises(BadInputError, match="y_train holds pickled"):
        Arrays(str(trap)).check()
    assert not (tmp_path / "sprung").exists()


def test_a_damaged_archive_is_refused(file):
    np.savez(file, **whole())
    bytes_ = bytearray(file.read_bytes())
    bytes_[200] ^= 255
    file.write_bytes(bytes(bytes_))
    with pytest.raises(BadInputError, match="x_train cannot be read"):
        Arrays(str(file)).check()
    file.write_bytes(bytes(bytes_[:300]))
    with pytest.raises(BadInputError, match="is no npz archive"):
        Arrays(str(file)).check()


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(BadInputError, match="no such file or folder"):
        Arrays(str(tmp_path / "no.npz")).check()
    with pytest.raises(BadInputError, match="is a folder, not an npz file"):
        Arrays(str(tmp_path)).check()


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize(
    ("name", "pool", "test", "shape", "n_classes"),
    [
        ("mnist", 60_000, 10_000, (28, 28, 1), 10),
        ("mnist_m", 4_000, 1_000, (28, 28, 3), 10),
        ("pneumoniamnist_subset", 4_406, 624, (28, 28, 1), 2),
    ],
)
def test_real_archives_load(name, pool, test, shape, n_classes, monkeypatch):
    monkeypatch.setattr(  # MNIST's 70,000 images take a while
        "transfergrid.data.copies.image_copies.find_copies",
        lambda p, t: Copies.none(len(p), len(t)),
    )
    domain = Arrays(str(SHARED / name / f"{name}.npz"))
    domain.check()
    found = domain.load()
    assert (len(found.pool), len(found.test), len(found.classes)) == (pool, test, n_classes)
    assert pixels(found.test).shape[1:] == shape


# What no archive that NumPy wrote holds -----------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((0.0, np.inf), "float64: inf"),
        ((1e19, 2e19), r"float64: 1e\+19"),  # one whole number, the smallest, if just converted
        ((b"a", b"\xff"), r"no UTF-8: b'\\xff'"),
    ],
)
def test_labels_that_no_whole_number_and_no_text_stands_for_are_refused(file, values, told):
    refused(told, file, whole(y_train=np.array(values)[np.arange(12) % 2]))


def test_labels_may_be_stored_as_short_real_numbers(file):
    labels = np.arange(12) % 3
    found = loaded(file, whole(y_train=labels.astype(np.float16)))
    assert found.pool.labels.tolist() == labels.tolist()


def test_an_archive_without_labels_is_refused(file):
    refused("y_train holds no labels", file, whole(y_train=np.empty(0)))


def test_a_header_that_asks_for_more_memory_than_there_is(file):
    words = "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 99999)}"
    header = b"\x93NUMPY\x01\x00\x76\x00" + words.ljust(117).encode() + b"\n"
    np.savez(file, **whole(x_train=None))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("x_train.npy", header)
    with pytest.raises(BadInputError, match=r"scans\.npz: x_train cannot be read: .*allocate"):
        Arrays(str(file)).check()


def test_pixels_beyond_single_precision_are_cut_off(file):
    bright = images(12, 5, 4).astype(float)
    bright[::3] = 1e308
    found = loaded(file, whole(x_train=bright, x_test=bright[:6]), brightest=255)
    assert (pixels(found.pool)[::3] == 255).all()
    np.testing.assert_array_equal(pixels(found.pool)[1::3, ..., 0], bright[1::3])
    refused("not in 1e\\+308 to 1e\\+308", file, whole(x_train=np.full((12, 5, 4), 1e308)))


# Descriptions of the classes ----------------------------------------------------------------------


def test_classes_may_be_described(file):
    told = np.arange(6, dtype=np.float64).reshape(3, 2)
    found = loaded(file, whole(attributes=told))
    assert found.attributes.dtype == np.float32
    assert np.array_equal(found.attributes, told)
    assert "attributes" not in found.notes["unused_arrays"]
    assert Arrays(str(file)).is_described
    assert loaded(file, whole()).attributes is None
    assert not Arrays(str(file)).is_described


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (np.zeros((2, 4)), r"attributes must be numbers of shape \(3, d\), a row a class"),
        (np.zeros(3), r"attributes must be numbers of shape \(3, d\)"),
        (np.array([["a"], ["b"], ["c"]]), "attributes must be numbers"),
        (np.full((3, 1), np.nan), "attributes holds values that are not finite"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(file, told, message):
    refused(message, file, whole(attributes=told))
