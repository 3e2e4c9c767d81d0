"""Datasets of the Hugging Face library: columns found by their kinds, from folders, offline."""

import dataclasses
import io
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfergrid.data import huggingface
from transfergrid.data.huggingface import HuggingFaceImages, HuggingFaceText
from transfergrid.records.errors import BadInputError
from transfergrid.testing.declarations import read_yaml

datasets = pytest.importorskip("datasets")

CONF = Path(__file__).parents[2] / "conf" / "target"
CLASSES = datasets.ClassLabel(names=["bad", "good"])


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("hf"))
    monkeypatch.setattr(huggingface, "_KEPT", {})


def texts(n, name, label=CLASSES, **more):
    kind = datasets.Features(
        {"text": datasets.Value("string"), "label": label, **{k: v[0] for k, v in more.items()}}
    )
    columns = {"text": [f"{name} {i}" for i in range(n)], "label": [i % 2 for i in range(n)]}
    columns |= {key: list(values[:n]) for key, (_, values) in more.items()}
    return datasets.Dataset.from_dict(columns, features=kind)


def saved(root, **splits):
    datasets.DatasetDict(splits).save_to_disk(str(root))
    return str(root)


@pytest.fixture
def reviews(tmp_path):
    parts = {"train": texts(12, "a"), "validation": texts(4, "b"), "test": texts(6, "c")}
    return saved(tmp_path / "reviews", **parts)


def loaded(domain):
    domain.check()
    found = domain.load()
    assert found.classes == domain.classes
    return found


def everything(examples):
    return list(examples.read(np.arange(len(examples))))


def refused(message, kind=HuggingFaceText, **arguments):
    with pytest.raises(BadInputError, match=message) as caught:
        kind(**arguments).check()
    assert "\n" not in str(caught.value)


def test_train_and_validation_are_the_pool_and_labels_are_named(reviews):
    found = loaded(HuggingFaceText(folder=reviews))
    assert found.classes == ("bad", "good")
    assert sorted(everything(found.test)) == [f"c {i}" for i in range(6)]
    assert sorted(everything(found.pool)) == sorted(
        [f"a {i}" for i in range(12)] + [f"b {i}" for i in range(4)]
    )
    for part in (found.pool, found.test):
        told = [int(text.split()[1]) % 2 for text in everything(part)]
        assert part.labels.tolist() == told


def test_another_split_or_a_share_may_be_tested_on(reviews, tmp_path):
    found = loaded(HuggingFaceText(folder=reviews, test_split="validation"))
    assert (len(found.pool), len(found.test)) == (12, 4)
    assert found.notes["ignored_splits"] == ["test"]
    assert found.notes["columns"] == ["text"]
    texts(20, "x").save_to_disk(str(tmp_path / "one"))
    found = loaded(HuggingFaceText(folder=str(tmp_path / "one"), test_split=0.2))
    assert np.bincount(found.test.labels).tolist() == [2, 2]


def test_a_folder_of_parquet_is_read_and_is_the_same_dataset(reviews, tmp_path):
    root = tmp_path / "parquet"
    root.mkdir()
    for name, split in datasets.load_from_disk(reviews).items():
        split.select(range(len(split))[::-1]).to_parquet(str(root / f"{name}.parquet"))
    one, other = HuggingFaceText(folder=str(root)), HuggingFaceText(folder=reviews)
    assert one.content() == other.content()
    assert everything(loaded(one).pool) == everything(loaded(other).pool)
    assert one.content() != HuggingFaceText(folder=reviews, test_split="validation").content()


def test_pairs_of_texts_and_groups(tmp_path):
    authors = (datasets.Value("string"), ["p", "q", "r", "s"] * 6)
    second = (datasets.Value("string"), [f"hypothesis {i}" for i in range(24)])
    folder = saved(tmp_path / "p", train=texts(24, "premise", second=second, author=authors))
    domain = HuggingFaceText(
        folder=folder, text="text", pair="second", group_column="author", test_split=0.25
    )
    found = loaded(domain)
    first = everything(found.pool)[0]
    assert first[0].replace("premise", "") == first[1].replace("hypothesis", "")
    assert not set(found.pool.groups) & set(found.test.groups)
    assert sum(found.notes["groups"].values()) == 4
    several = "several columns of texts .text, second, author.*target.text"
    refused(several, folder=folder, test_split=0.25)
    refused("no test split, only train: give one of them", folder=folder)


def test_whole_numbers_and_texts_are_labels_too(tmp_path):
    number = texts(8, "a", datasets.Value("int64"))
    folder = saved(tmp_path / "n", train=number, test=texts(4, "b", datasets.Value("int64")))
    assert loaded(HuggingFaceText(folder=folder)).classes == ("0", "1")
    broken = number.map(
        lambda row: {"label": row["label"] + 0.5},
        features=datasets.Features(
            {"text": datasets.Value("string"), "label": datasets.Value("float64")}
        ),
    )
    refused("regression", folder=saved(tmp_path / "f", train=broken), test_split=0.5)


def test_a_test_split_whose_labels_are_hidden_is_told_with_the_way_out(tmp_path):
    hidden = texts(4, "c").map(lambda row: {"label": -1})
    parts = {"train": texts(8, "a"), "validation": texts(4, "b"), "test": hidden}
    folder = saved(tmp_path / "glue", **parts)
    refused("4 rows of test have no label.*test_split=validation", folder=folder)
    assert len(loaded(HuggingFaceText(folder=folder, test_split="validation")).test) == 4


def test_columns_that_are_not_there_or_empty_are_named(reviews, tmp_path):
    refused("no column 'txet'; did you mean text", folder=reviews, text="txet")
    refused("no column 'labell'; did you mean label", folder=reviews, label="labell")
    refused("no images: give target.image", HuggingFaceImages, folder=reviews)
    refused("no split 'tset'; did you mean test", folder=reviews, test_split="tset")
    blank = texts(4, "a").map(lambda row: {"text": " "})
    folder = saved(tmp_path / "blank", train=texts(4, "b"), test=blank)
    refused("column 'text' has a row without text", folder=folder)
    anonymous = texts(4, "a").rename_column("label", "y").cast_column("y", datasets.Value("int64"))
    refused(
        "which column has the labels", folder=saved(tmp_path / "y", train=anonymous), test_split=0.5
    )


def test_copies_are_counted_and_dropped(tmp_path):
    folder = saved(tmp_path / "c", train=texts(12, "a"), test=texts(3, "A"))
    assert loaded(HuggingFaceText(folder=folder)).notes["duplicates"]["exact"] == 3
    assert len(loaded(HuggingFaceText(folder=folder, duplicates="drop")).pool) == 9


def png(seed, size=(7, 6), mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "png")
    return buffer.getvalue()


def images(n, seed, mode="RGB"):
    features = datasets.Features({"picture": datasets.Image(), "label": CLASSES})
    stored = [{"bytes": png(seed + i, (7 + i, 6), mode), "path": None} for i in range(n)]
    columns = {"picture": stored, "label": [i % 2 for i in range(n)]}
    return datasets.Dataset.from_dict(columns, features=features)


def test_images_of_any_size_are_decoded_when_they_are_read(tmp_path):
    folder = saved(tmp_path / "i", train=images(8, 0), test=images(4, 100, "L"))
    found = loaded(HuggingFaceImages(folder=folder))
    shapes = sorted(image.shape for image in everything(found.pool))
    assert shapes == [(6, 7 + i, 3) for i in range(8)]
    assert {image.shape[2] for image in everything(found.test)} == {1}
    by_width = {image.shape[1]: image for image in everything(found.pool)}
    expected = np.asarray(Image.open(io.BytesIO(png(3, (10, 6)))))
    np.testing.assert_array_equal(by_width[10], expected)
    for image, label in zip(everything(found.pool), found.pool.labels, strict=True):
        assert (image.shape[1] - 7) % 2 == label


def test_large_images_stay_on_disk_until_they_are_read(tmp_path):
    features = datasets.Features({"picture": datasets.Image(), "label": CLASSES})
    files = [png(i, (100 + i, 90)) for i in range(6)]
    assert min(map(len, files)) > 16_384
    columns = {
        "picture": [{"bytes": file, "path": None} for file in files],
        "label": [0, 1] * 3,
    }
    part = datasets.Dataset.from_dict(columns, features=features)
    found = loaded(HuggingFaceImages(folder=saved(tmp_path / "l", train=part), test_split=0.4))
    for examples in (found.pool, found.test):
        assert not any(isinstance(kept, bytes) for kept in examples.stored)
        for image in everything(examples):
            expected = np.asarray(Image.open(io.BytesIO(files[image.shape[1] - 100])))
            np.testing.assert_array_equal(image, expected)
    assert len(found.pool) + len(found.test) == 6


def test_a_broken_image_is_found_before_anything_runs(tmp_path):
    rows = images(6, 0).to_dict()
    rows["picture"][2]["bytes"] = b"no image"
    broken = datasets.Dataset.from_dict(rows, features=images(1, 0).features)
    folder = saved(tmp_path / "b", train=broken, test=images(4, 100))
    refused("broken image 8 bytes of example", HuggingFaceImages, folder=folder)


def test_without_a_network_the_hub_is_given_up_at_once(monkeypatch):
    def unreachable(*address, **options):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("transfergrid.records.tracking.network.getproxies", dict)
    monkeypatch.setattr("socket.create_connection", unreachable)
    began = time.monotonic()
    refused("the hub cannot be reached: give target.folder=PATH.*text_table", dataset="owner/name")
    assert time.monotonic() - began < 5
    from huggingface_hub import constants

    assert not constants.HF_HUB_OFFLINE


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    refused("pip install 'transfergrid.huggingface.'", dataset="owner/name")


def test_a_dataset_or_a_folder_must_be_given_and_be_there(reviews, tmp_path):
    refused("give target.dataset=OWNER/NAME of the hub, or target.folder")
    refused("give target.dataset", dataset="a/b", folder=reviews)
    refused("no such file or folder", folder=str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    refused("cannot be read as a dataset", folder=str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("huggingface_text", HuggingFaceText), ("huggingface_images", HuggingFaceImages)],
)
def test_the_yaml_says_what_the_class_says(name, kind):
    config = read_yaml(CONF / f"{name}.yaml")
    fields = {field.name: field.default for field in dataclasses.fields(kind)}
    assert config.keys() - {"_target_", "about"} == fields.keys()
    assert {key: config["about"][key] for key in kind.about()} == kind.about()
    assert all(
        config[key] in (value, list(value or ()))
        for key, value in fields.items()
        if key not in ("metric", "sampling")
    )


def test_clusters_stay_whole_beside_groups(tmp_path):
    authors = (datasets.Value("string"), ["p", "q", "r", "s"] * 6)
    places = (datasets.Value("string"), ["north", "south", "east"] * 8)
    folder = saved(tmp_path / "c", train=texts(24, "premise", author=authors, place=places))
    told = {"folder": folder, "text": "text", "test_split": 0.25}
    found = loaded(HuggingFaceText(**told, cluster_column="author", group_column="place"))
    assert not set(found.pool.clusters) & set(found.test.clusters)
    assert set(found.pool.groups) & set(found.test.groups)
    assert sum(found.notes["clusters"].values()) == 4


def priced(n, name, column="price"):
    kind = {"text": datasets.Value("string"), column: datasets.Value("float32")}
    columns = {"text": [f"{name} {i}" for i in range(n)], column: [i + 0.5 for i in range(n)]}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kind))


def test_a_column_of_numbers_is_learned_where_the_metric_is_of_numbers(tmp_path):
    root = saved(tmp_path / "prices", train=priced(12, "a"), test=priced(6, "b"))
    domain = HuggingFaceText(folder=root, label="price", metric="mae")
    found = loaded(domain)
    assert (domain.outputs, found.classes) == (("price",), ())
    assert found.test.labels.dtype == np.float32
    assert sorted(found.pool.labels) == [i + 0.5 for i in range(12)]
    told = dict(zip(everything(found.test), found.test.labels, strict=True))
    assert told == {f"b {i}": i + 0.5 for i in range(6)}


def test_a_column_that_is_called_labels_gives_its_name_to_the_numbers(tmp_path):
    parts = {"train": priced(12, "a", "labels"), "test": priced(6, "b", "labels")}
    domain = HuggingFaceText(folder=saved(tmp_path / "prices", **parts), metric="mse")
    loaded(domain)
    assert domain.outputs == ("labels",)


def test_images_of_the_hub_have_numbers_too(tmp_path):
    def turned(n, first):
        pictures = [Image.fromarray(np.full((4, 4), first + i, dtype=np.uint8)) for i in range(n)]
        kind = {"image": datasets.Image(), "angle": datasets.Value("float32")}
        columns = {"image": pictures, "angle": [float(first + i) for i in range(n)]}
        return datasets.Dataset.from_dict(columns, features=datasets.Features(kind))

    root = saved(tmp_path / "turned", train=turned(12, 0), test=turned(6, 100))
    found = loaded(HuggingFaceImages(folder=root, label="angle", metric="r2"))
    images = np.stack(everything(found.test))
    np.testing.assert_array_equal(images.reshape(6, -1)[:, 0], found.test.labels)
