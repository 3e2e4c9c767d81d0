"""Which file a table means by a name that was written on another machine."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfergrid.data.image_table import ImageTable
from transfergrid.data.tables.table_paths import Places
from transfergrid.records.errors import BadInputError


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path_factory.mktemp("cache")))


def made(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return Places(root)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("scans/img_001.jpg", "scans/img_001.jpg"),
        (r"scans\img_001.jpg", "scans/img_001.jpg"),
        (r".\scans\img_001.jpg", "scans/img_001.jpg"),
        ("scans/img_001", "scans/img_001.jpg"),
        (r"scans\img_001", "scans/img_001.jpg"),
        ("Scans/IMG_001.JPG", "scans/img_001.jpg"),
        ("SCANS\\Img_001", "scans/img_001.jpg"),
        ("scans/v1.2", "scans/v1.2.png"),
        ("scans/both", "scans/both"),
        ("scans/fold", "scans/fold.png"),
        ("scans/../scans/img_001", "scans/../scans/img_001.jpg"),
        ("scans/img_001.png", None),
        ("scans/img_00", None),
        ("scans/notes", None),
        ("scans", None),
        ("nowhere/img_001", None),
        (r"C:\Users\me\scans\img_001.jpg", None),
        ("a" * 300 + "/b", None),
        ("nul\0byte", None),
        ("", None),
    ],
)
def test_names_as_people_write_them(tmp_path, typed, meant):
    files = ("img_001.jpg", "v1.2.png", "both", "both.png", "fold/x.png", "fold.png", "notes.txt")
    assert made(tmp_path, *(f"scans/{name}" for name in files)).find(typed) == meant


def test_a_backslash_in_a_name_is_one_where_there_is_such_a_file(tmp_path):
    assert made(tmp_path, "a\\b.png", "a/b.png").find(r"a\b.png") == "a\\b.png"


def test_accents_may_be_composed_or_not(tmp_path):
    composed, parts = (unicodedata.normalize(form, "été.png") for form in ("NFC", "NFD"))
    assert composed != parts
    assert made(tmp_path, parts).find(composed) == parts
    assert Places(tmp_path).find(str(tmp_path / composed)) == str(tmp_path / parts)


@pytest.mark.parametrize(
    ("files", "typed"), [(("a.jpg", "a.png"), "a"), (("A.png", "a.png"), "A.PNG")]
)
def test_names_that_may_mean_several_files_are_refused(tmp_path, files, typed):
    with pytest.raises(BadInputError, match=f"{typed} may be any of {files[0]}, {files[1]}: write"):
        made(tmp_path, *files).find(typed)


def table(root, names, **more):
    rows = [f"{name},{'ab'[i % 2]}" for i, name in enumerate(names)]
    (root / "t.csv").write_text("\n".join(["path,label", *rows]))
    return ImageTable(str(root / "t.csv"), test_split=0.2, **more)


def pictures(root, n=20):
    (root / "scans").mkdir()
    for i in range(n):
        pixels = np.random.default_rng(i).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "scans" / f"img_{i:03}.png")


def test_a_table_from_windows_without_endings_is_the_same_table(tmp_path):
    pictures(tmp_path)
    plain = table(tmp_path, [f"scans/img_{i:03}.png" for i in range(20)])
    plain.check()
    content = plain.content()
    other = table(tmp_path, [f"scans\\IMG_{i:03}" for i in range(20)])
    other.check()
    assert other.content() == content
    assert all(Path(file).is_file() for file in other.load().pool.files)
    (tmp_path / "scans" / "img_003.jpg").touch()
    told = r"t.csv: scans\\IMG_003 may be any of scans/img_003.jpg, scans/img_003.png"
    with pytest.raises(BadInputError, match=told):
        other.check()


def test_links_to_nothing_are_broken_images_and_what_is_missing_is_missing(tmp_path):
    pictures(tmp_path)
    names = [f"scans/img_{i:03}.png" for i in range(20)]
    gone = tmp_path / names[4]
    gone.rename(tmp_path / "elsewhere.png")
    with pytest.raises(BadInputError, match=r"1 image is not there: scans/img_004.png"):
        table(tmp_path, names, skip_broken=True).check()
    gone.symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(BadInputError, match=r"1 broken image: scans/img_004.png \(a link to noth"):
        table(tmp_path, names).check()
    skipping = table(tmp_path, names, skip_broken=True)
    skipping.check()
    loaded = skipping.load()
    assert (len(loaded.pool) + len(loaded.test), loaded.notes["broken_images"]) == (19, 1)
