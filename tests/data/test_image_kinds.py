"""No file that holds an image vanishes without a word."""

import os
import sys
import types

import numpy as np
import pytest
from PIL import Image, features

from transfergrid.data.image_folder import ImageFolder
from transfergrid.data.images import decoding
from transfergrid.data.images.image_kinds import kind_of, sorted_by_kind
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.records.files.fingerprints import fingerprint
from transfergrid.records.identity import config_digest

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def no_heic(monkeypatch):
    """Be on a machine without pillow-heif."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    decoding.know_heic.cache_clear()
    yield
    decoding.know_heic.cache_clear()


def picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8))


@pytest.fixture
def photos(tmp_path):
    """Ten cats and ten dogs."""
    for i in range(20):
        folder = tmp_path / "photos" / ("cat", "dog")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture(i).save(folder / f"{i}.png")
    return tmp_path / "photos"


def domain(root, **more):
    return ImageFolder(str(root), test_split=0.2, **more)


def count(made):
    made.check()
    loaded = made.load()
    return len(loaded.pool) + len(loaded.test)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe0" + bytes(20), "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
        (b"\0\0\0\x20ftypavif", "AVIF"),
        (HEIC, "HEIC"),
        (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"\0\0\0\x20ftypmp42", ""),
        (b"RIFF\0\0\0\0WAVE", ""),
        (b"name,label\n", ""),
        (b"", ""),
    ],
)
def test_a_file_is_known_by_its_head(head, kind):
    assert kind_of(head) == kind


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".avif", "avif"), (".jp2", "jpg_2000"), (".webp", "webp")]
)
def test_newer_formats_are_read(photos, suffix, kind):
    if not features.check(kind):
        pytest.skip("this Pillow does not write it")
    picture(99).save(photos / "cat" / f"new{suffix}")
    assert count(domain(photos)) == 21


def test_images_without_a_suffix_or_with_a_strange_one_are_read(photos):
    picture(98).save(photos / "cat" / "0001", format="jpeg")
    picture(99).save(photos / "dog" / "photo.jpg_large", format="png")
    (photos / "dog" / "readme").write_text("no image")
    assert count(domain(photos)) == 22
    assert domain(photos).load().notes["other_files"] == 1


def test_images_that_were_passed_over_before_move_the_identity_and_nothing_else_does(photos):
    made = domain(photos)
    before = config_of(made)
    (photos / "dog" / "readme").write_text("no image")
    assert made.amendments() == {}
    plain = {**before, "about": {k: v for k, v in before["about"].items() if k != "amended"}}
    assert config_digest(plain) == config_digest(before)
    picture(98).save(photos / "cat" / "0001", format="jpeg")
    assert config_digest(plain) != config_digest(before)


def test_heic_needs_a_library_and_says_which(photos, no_heic):
    (photos / "cat" / "phone.HEIC").write_bytes(HEIC)
    (photos / "dog" / "phone").write_bytes(HEIC)
    told = r"2 broken images: cat/phone.HEIC \(HEIC: pip install pillow-heif\), dog/phone \(HEIC"
    with pytest.raises(BadInputError, match=told):
        domain(photos).check()
    skipping = domain(photos, skip_broken=True)
    assert count(skipping) == 20
    assert skipping.remarks() == [
        f"{photos}: not used are 2 broken images: cat/phone.HEIC, dog/phone"
    ]


def test_the_library_is_asked_where_it_is_there(monkeypatch):
    asked = []
    library = types.SimpleNamespace(
        register_heif_opener=lambda: asked.append("opener"), __version__="1.2"
    )
    monkeypatch.setitem(sys.modules, "pillow_heif", library)
    decoding.know_heic.cache_clear()
    assert decoding.verdict_kind().endswith("/1.2")
    assert asked == ["opener"]
    decoding.know_heic.cache_clear()


def test_what_is_not_used_is_told_by_count_and_example(photos):
    for name in ("cat/scan.dcm", "dog/raw.NEF", "dog/vector.svg"):
        (photos / name).write_bytes(b"II*\0")
    (photos / "cat" / "nameless").write_bytes(bytes(128) + b"DICM")
    (photos / "cat" / "notes.txt").write_text("x")
    (photos / "cat" / "Thumbs.db").write_text("x")
    picture().save(photos / "cover.png")
    assert domain(photos).remarks() == [
        f"{photos}: not used are 1 image outside the class folders: cover.png; 4 images of a kind "
        "that is not read: cat/nameless, cat/scan.dcm, dog/raw.NEF, ...; 1 file without an image: "
        "cat/notes.txt"
    ]
    assert count(domain(photos)) == 20


def test_folders_that_programs_leave_behind_are_no_class(photos):
    (photos / "__MACOSX" / "cat").mkdir(parents=True)
    picture().save(photos / "__MACOSX" / "cat" / "0.png")
    (photos / "cat" / "__MACOSX").mkdir()
    (photos / "cat" / "__MACOSX" / "x").write_text("x")
    assert domain(photos).classes == ("cat", "dog")
    assert count(domain(photos)) == 20
    assert domain(photos).remarks() == []


def test_links_to_nothing_are_broken_images(photos):
    (photos / "cat" / "gone.png").symlink_to(photos / "nowhere.png")
    (photos / "dog" / "self.png").symlink_to(photos / "dog" / "self.png")
    (photos / "dog" / "notes").symlink_to(photos / "nowhere")
    message = r"2 broken images: cat/gone.png \(a link to nothing\), dog/self.png"
    with pytest.raises(BadInputError, match=message):
        domain(photos).check()
    made = domain(photos, skip_broken=True)
    assert count(made) == 20
    assert made.load().notes["broken_images"] == 2
    before = fingerprint(photos)
    (photos / "cat" / "gone.png").unlink()
    assert fingerprint(photos) == before


def test_a_pipe_is_no_file_to_wait_for(photos):
    os.mkfifo(photos / "cat" / "pipe")
    fingerprint(photos)
    assert sorted_by_kind(photos, ["cat/0.png"]).images == ("cat/0.png",)
    assert count(domain(photos)) == 20
