import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfergrid.data.image_folder import ImageFolder
from transfergrid.data.images.decoding import read_image
from transfergrid.records.errors import BadInputError

SHARED = Path(__file__).parents[3] / "shared" / "data" / "images"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path_factory.mktemp("cache")))


def picture(file, seed=0, size=(6, 5)):
    """Write a random image; its seed tells it from others."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


def class_folders(root, counts):
    """Write `counts[class]` images below each class folder, all different."""
    for c, (name, count) in enumerate(counts.items()):
        for i in range(count):
            picture(root / name / f"{i:02}.png", seed=[*root.name.encode(), c, i])
    return root


@pytest.fixture
def flat(tmp_path):
    return class_folders(tmp_path / "photos", {"cat": 10, "dog": 5})


@pytest.fixture
def split(tmp_path):
    for name, count in {"train": 4, "val": 3, "test": 2}.items():
        class_folders(tmp_path / "photos" / name, {"cat": count, "dog": count})
    return tmp_path / "photos"


def refused(message, root, **arguments):
    with pytest.raises(BadInputError, match=message) as caught:
        ImageFolder(str(root), **arguments).check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def files(examples):
    return [str(file) for file in examples.files]


def sizes(domain):
    domain.check()
    loaded = domain.load()
    return len(loaded.pool), len(loaded.test)


def test_train_and_val_are_the_pool(split):
    domain = ImageFolder(str(split))
    assert domain.classes == ("cat", "dog")
    assert sizes(domain) == (14, 4)
    loaded = domain.load()
    for examples in (loaded.pool, loaded.test):
        named = [Path(f).parent.name for f in files(examples)]
        assert [domain.classes[c] for c in examples.labels] == named
    assert {Path(f).parts[-3] for f in files(loaded.test)} == {"test"}


@pytest.mark.parametrize(
    "names",
    [("training", "valid", "testing"), ("Train", "Validation", "Test"), ("train", "dev", "test")],
)
def test_splits_may_have_their_other_usual_names(split, names):
    for old, new in zip(("train", "val", "test"), names, strict=True):
        (split / old).rename(split / f"{new}_")
        (split / f"{new}_").rename(split / new)
    assert sizes(ImageFolder(str(split))) == (14, 4)


def test_another_folder_can_be_the_test_split(split):
    shutil.rmtree(split / "test")
    assert sizes(ImageFolder(str(split), test_split="val")) == (8, 6)
    assert sizes(ImageFolder(str(split), test_split=0.5)) == (6, 8)
    (split / "val").rename(split / "zoo")
    domain = ImageFolder(str(split), test_split="zoo")
    assert sizes(domain) == (8, 6)


def test_a_folder_that_is_no_split_is_left_out_and_noted(split):
    picture(split / "drafts" / "cat" / "0.png")
    assert sizes(ImageFolder(str(split))) == (14, 4)
    assert ImageFolder(str(split)).load().notes["ignored_folders"] == ["drafts"]


def test_a_train_may_be_a_vehicle(tmp_path):
    root = class_folders(tmp_path / "vehicles", {"bus": 4, "car": 4, "train": 4})
    assert ImageFolder(str(root), test_split=0.25).classes == ("bus", "car", "train")
    assert sizes(ImageFolder(str(root), test_split=0.25)) == (9, 3)


def test_a_share_is_taken_of_each_class(flat):
    loaded = ImageFolder(str(flat), test_split=0.2).load()
    assert np.bincount(loaded.test.labels).tolist() == [2, 1]
    assert not set(files(loaded.pool)) & set(files(loaded.test))
    assert len(loaded.pool) + len(loaded.test) == 15


def test_a_share_does_not_depend_on_place_or_names_or_order(flat, tmp_path):
    def chosen(root):
        test = ImageFolder(str(root), test_split=0.3).load().test
        return {image.tobytes() for image in test.read(np.arange(len(test)))}

    other = tmp_path / "elsewhere" / "p"
    for file in sorted(flat.rglob("*.png"), reverse=True):
        new = other / file.parent.name / f"{99 - int(file.stem)}.png"
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, new)
    assert chosen(other) == chosen(flat)


def test_other_files_are_counted_and_hidden_ones_ignored(flat):
    (flat / "cat" / "notes.txt").write_text("x")
    (flat / "readme.md").write_text("x")
    (flat / "cat" / ".DS_Store").write_text("x")
    picture(flat / ".thumbnails" / "0.png")
    picture(flat / "cover.png")
    domain = ImageFolder(str(flat), test_split=0.2)
    assert sizes(domain) == (12, 3)
    assert domain.load().notes["other_files"] == 2


def test_copies_of_pool_images_in_the_test_split_are_counted(split):
    shutil.copy(split / "train" / "cat" / "00.png", split / "test" / "cat" / "copy.png")
    assert ImageFolder(str(split)).load().notes["test_images_also_in_pool"] == 1


def test_images_deeper_in_a_class_folder_belong_to_the_class(flat):
    picture(flat / "dog" / "puppies" / "x.png")
    loaded = ImageFolder(str(flat), test_split=0.2).load()
    assert len(loaded.pool) + len(loaded.test) == 16


def test_missing_folder_is_refused(tmp_path):
    refused("no such file or folder: .*nowhere", tmp_path / "nowhere")


def test_file_is_refused(tmp_path):
    picture(tmp_path / "x.png")
    refused("is a file", tmp_path / "x.png")


def test_empty_folder_is_refused(tmp_path):
    refused("no class folders", tmp_path)


def test_one_class_is_refused(tmp_path):
    root = class_folders(tmp_path / "p", {"cat": 3})
    refused("only one class: cat", root, test_split=0.2)


def test_class_folder_without_images_is_refused(flat):
    (flat / "emu").mkdir()
    (flat / "emu" / "notes.txt").write_text("x")
    refused("class folder 'emu' has no images", flat, test_split=0.2)


def test_class_in_test_that_train_lacks_is_refused_and_the_reverse_is_not(split):
    picture(split / "train" / "emu" / "0.png")
    assert ImageFolder(str(split)).classes == ("cat", "dog", "emu")
    ImageFolder(str(split)).check()
    picture(split / "test" / "fox" / "0.png")
    refused("classes that train lacks: fox", split)


def test_no_test_split_is_refused_with_what_to_give(flat):
    refused("test_split=0.2", flat)


def test_no_test_folder_but_val_suggests_val(split):
    shutil.rmtree(split / "test")
    assert "test_split=val" in refused("no test folder", split)


def test_test_split_beside_a_test_folder_is_refused(split):
    refused("leave out test_split", split, test_split=0.2)


def test_unknown_test_folder_is_refused(split):
    refused("no folder 'vall' to test on; did you mean val", split, test_split="vall")


def test_train_itself_cannot_be_the_test_split(split):
    shutil.rmtree(split / "val")
    refused("nothing left to train on", split, test_split="train")


def test_a_named_test_split_needs_a_train_folder(flat):
    refused("no train folder", flat, test_split="cat")


def test_test_and_val_without_train_are_refused(split):
    shutil.rmtree(split / "train")
    refused("no train folder, only test, val", split, test_split=0.2)


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5, 2, True, ""])
def test_shares_that_make_no_sense_are_refused(flat, share):
    refused("test_split must be a share", flat, test_split=share)


def break_images(root, count):
    victims = sorted((root / "cat").glob("*.png"))[:count]
    for file in victims:
        file.write_bytes(file.read_bytes()[:-40])  # the header is whole, the pixels are not
    return victims


def test_broken_images_are_named_and_counted(flat):
    break_images(flat, 5)
    message = refused("5 broken images", flat, test_split=0.2)
    assert all(f"cat/{i:02}.png" in message for i in range(3))
    assert "cat/03.png" not in message
    assert "skip_broken=true" in message


def test_a_file_that_is_no_image_at_all_is_broken(flat):
    (flat / "dog" / "text.jpg").write_text("no image")
    refused(r"1 broken image: dog/text.jpg \(not an image\)", flat, test_split=0.2)


def test_broken_images_can_be_skipped_and_are_counted(flat):
    broken = break_images(flat, 2)
    domain = ImageFolder(str(flat), test_split=0.2, skip_broken=True)
    domain.check()
    loaded = domain.load()
    assert loaded.notes["broken_images"] == 2
    assert not {str(f) for f in broken} & {*files(loaded.pool), *files(loaded.test)}
    assert len(loaded.pool) + len(loaded.test) == 13


def test_a_class_of_broken_images_only_is_refused(flat):
    break_images(flat, 10)
    refused("all images of class 'cat' are broken", flat, test_split=0.2, skip_broken=True)


def test_a_verdict_is_remembered_until_the_file_changes(flat, monkeypatch):
    for file in flat.rglob("*.png"):
        os.utime(file, (1e9, 1e9))
    monkeypatch.setattr("transfergrid.records.files.fingerprints.SETTLED_SECONDS", -60)
    domain = ImageFolder(str(flat), test_split=0.2)
    domain.check()
    with monkeypatch.context() as patched:
        patched.setattr("transfergrid.data.images.image_files.verdict", lambda file: "looked again")
        domain.check()
    break_images(flat, 1)
    refused("1 broken image: cat/00.png", flat, test_split=0.2)


def saved(tmp_path, image, name="x.png", **options):
    image.save(tmp_path / name, **options)
    return read_image(tmp_path / name)


def test_grey_stays_grey_and_colour_colour(tmp_path):
    assert saved(tmp_path, Image.new("L", (4, 3), 7)).shape == (3, 4, 1)
    assert saved(tmp_path, Image.new("RGB", (4, 3), (1, 2, 3)))[0, 0].tolist() == [1, 2, 3]
    assert saved(tmp_path, Image.new("1", (4, 3), 1))[0, 0].tolist() == [255]


def test_transparent_parts_become_white(tmp_path):
    assert saved(tmp_path, Image.new("RGBA", (2, 2), (0, 0, 0, 0)))[0, 0].tolist() == [255] * 3
    assert saved(tmp_path, Image.new("LA", (2, 2), (0, 0)))[0, 0].tolist() == [255]


def test_palettes_are_looked_up(tmp_path):
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert saved(tmp_path, image)[0, 0].tolist() == [10, 20, 30]
    assert saved(tmp_path, image, transparency=1)[0, 0].tolist() == [255] * 3


def test_sixteen_bits_are_scaled_by_their_range(tmp_path):
    pixels = np.array([[0, 257, 65535]], dtype=np.uint16)
    assert saved(tmp_path, Image.fromarray(pixels))[0, :, 0].tolist() == [0, 1, 255]
    assert saved(tmp_path, Image.fromarray(pixels), "x.tif")[0, :, 0].tolist() == [0, 1, 255]


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_real_numbers_are_shares_of_one_or_of_255(tmp_path, top):
    pixels = np.array([[0, 0.5, 1]], dtype=np.float32) * np.float32(top)
    assert saved(tmp_path, Image.fromarray(pixels), "x.tif")[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("mode", "channels"),
    [
        *((m, 1) for m in ("1", "L", "LA", "I", "F")),
        *((m, 3) for m in ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB")),
    ],
)
def test_every_mode_becomes_one_channel_or_three(tmp_path, mode, channels):
    plain = Image.new("RGB", (5, 4), (10, 200, 30))
    made = {"LAB": Image.new("LAB", (5, 4)), "PA": plain.convert("P").convert("PA")}
    found = saved(tmp_path, made.get(mode) or plain.convert(mode), "x.tif")
    assert found.shape == (4, 5, channels)
    assert found.dtype == np.uint8


def test_print_colours_become_rgb(tmp_path):
    image = saved(tmp_path, Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "x.jpg")
    assert image.shape == (8, 8, 3)
    assert image.max() < 10


def test_the_cameras_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255  # white on the left: on top after turning
    image = saved(tmp_path, Image.fromarray(pixels), "x.jpg", exif=exif, quality=95)
    assert image.shape == (32, 16, 3)
    assert image[:12].min() > 200
    assert image[20:].max() < 50


def test_reading_a_file_that_vanished_names_it(flat):
    examples = ImageFolder(str(flat), test_split=0.2).load().pool
    Path(examples.files[0]).unlink()
    with pytest.raises(BadInputError, match=r"cat.*\.png"):
        examples.read(np.array([0]))


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_real_photos_load():
    domain = ImageFolder(str(SHARED / "hymenoptera"), test_split="val")
    assert domain.classes == ("ants", "bees")
    assert sizes(domain) == (245, 153)
    first = domain.load().pool.read(np.array([0]))[0]
    assert min(first.shape[:2]) == 224
    assert sizes(ImageFolder(str(SHARED / "flowers"))) == (500, 200)
