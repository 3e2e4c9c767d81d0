"""Grey levels of deep images: as many as there were, or the user is asked what is white."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from transfergrid.data.arrays import Arrays
from transfergrid.data.image_folder import ImageFolder
from transfergrid.data.image_table import ImageTable
from transfergrid.data.images.brightness import Scale, scale_of, to_grey
from transfergrid.data.images.decoding import may_be_deep
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.records.identity import config_digest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path_factory.mktemp("cache")))


# Levels by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "black", "white", "levels"),
    [
        ([0, 2048, 4095], 0, 4095, [0, 128, 255]),  # 2048 / 4095 * 255 = 127.53
        ([0, 512, 1023], 0, 1023, [0, 128, 255]),  # 127.62
        ([0, 257, 32768, 65535], 0, 65535, [0, 1, 128, 255]),  # 127.50 and a little
        ([0, 0.25, 1.0, 1.001], 0, 1, [0, 64, 255, 255]),  # 63.75
        ([-1024, 0, 1023, 3071, 9000], -1024, 3071, [0, 64, 127, 255, 255]),  # 63.77, 127.47
        ([-2000, -160, 40, 240], -160, 240, [0, 0, 128, 255]),  # a window: 127.5 to the even
        ([np.nan, -np.inf, np.inf], 0, 1, [0, 0, 255]),
        ([0, 4, 16], 0, 16, [0, 64, 255]),  # 63.75
    ],
)
def test_levels_between_black_and_white(values, black, white, levels):
    assert to_grey(np.array(values), black, white).tolist() == levels


@pytest.mark.parametrize(
    ("darkest", "brightest", "message"),
    [
        (None, "4095", "brightest must be a number, not '4095'"),
        (None, True, "must be a number"),
        (None, float("nan"), "must be a number"),
        (-1000, None, "say what is white too"),
        (5, 5, "must lie above the darkest, 5"),
        (None, -1, "must lie above the darkest, 0"),
    ],
)
def test_a_scale_that_makes_no_sense_is_refused(darkest, brightest, message):
    with pytest.raises(BadInputError, match=message):
        scale_of(darkest, brightest)


# Arrays -------------------------------------------------------------------------------------------


def ramp(low, high, kind=np.float64, n=12):
    """Return (n, 20, 20) images that run through the values from low to high."""
    return np.linspace(low, high, n * 400).reshape(n, 20, 20).astype(kind)


@pytest.fixture
def archive(tmp_path):
    def write(train, test=None, **more):
        test = train[:6] if test is None else test
        labels = {"y_train": np.arange(len(train)) % 2, "y_test": np.arange(len(test)) % 2}
        np.savez(tmp_path / "scans.npz", x_train=train, x_test=test, **labels)
        return Arrays(str(tmp_path / "scans.npz"), **more)

    return write


def pixels(domain):
    domain.check()
    loaded = domain.load()
    return [part.read(np.arange(len(part))) for part in (loaded.pool, loaded.test)]


@pytest.mark.parametrize(
    ("train", "top"),
    [
        (ramp(0, 255, np.uint8), 255),
        (ramp(0, 16, np.uint8), 16),  # bytes are bytes, however dim
        (ramp(0, 255, np.int64), 255),
        (ramp(0, 255, np.float32), 255),
        (ramp(0, 1), 255),
        (ramp(0, 0.7), 178),  # 178.5 to the even
        (ramp(0, 1 + 1e-7), 255),
        (ramp(-1e-9, 1), 255),
        (ramp(0, 65535, np.uint16), 255),
        (ramp(0, 40000, np.uint16), 156),  # 155.6
        (ramp(0, 1) > 0.5, 255),
        ((ramp(0, 1) > 0.5).astype(np.uint8), 255),
        ((ramp(0, 1) > 0.5).astype(int), 255),
    ],
)
def test_arrays_that_are_clear_keep_their_levels(archive, train, top):
    found, _ = pixels(archive(train))
    assert (found.min(), found.max()) == (0, top)
    assert len(np.unique(found)) == min(len(np.unique(train)), top + 1)


UNCLEAR = [
    (ramp(0, 1.001), "0 to 1.001: say it, as in target.brightest=1$"),
    (ramp(0, 1023, np.uint16), r"0 to 1023: .*target.brightest=1023 \(10 bits\)"),
    (ramp(0, 4095, np.uint16), r"0 to 4095: .*target.brightest=4095 \(12 bits\)"),
    (ramp(0, 4095, np.int32), r"0 to 4095: .*target.brightest=4095 \(12 bits\)"),
    (ramp(0, 65535, np.int32), r"0 to 65535: .*target.brightest=65535 \(16 bits\)"),
    (ramp(0, 65535, np.float32), r"0 to 65535: .*target.brightest=65535 \(16 bits\)"),
    (ramp(-1024, 3071, np.int16), "target.darkest=-1024 target.brightest=3071$"),
    (ramp(-1, 1), "target.darkest=-1 target.brightest=1$"),
    (ramp(0, 16), "target.brightest=16$"),
    (ramp(0, 1 / 255), "target.brightest=0.00392157$"),  # divided twice
    (
        np.where(ramp(0, 1) > 0.2, np.nan, ramp(0, 1)),
        "not in NaN, which .* to 0.19.*brightest=0.19",
    ),
]


@pytest.mark.parametrize(("train", "message"), UNCLEAR)
def test_arrays_that_are_not_clear_are_refused_with_the_way_out(archive, train, message):
    with pytest.raises(BadInputError, match=message) as caught:
        archive(train).check()
    assert str(caught.value).count("x_train (") == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        (ramp(0, 1.001), {"brightest": 1}),
        (ramp(0, 4095, np.uint16), {"brightest": 4095}),
        (ramp(0, 4095, np.int32), {"brightest": 4095.0}),
        (ramp(-1024, 3071, np.int16), {"darkest": -1024, "brightest": 3071}),
        (ramp(-1, 1), {"darkest": -1, "brightest": 1}),
    ],
)
def test_said_they_keep_all_levels(archive, train, said):
    found, _ = pixels(archive(train, **said))
    assert (found.min(), found.max(), len(np.unique(found))) == (0, 255, 256)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (ramp(0, 1), ramp(0, 255), "x_train lies in 0 to 1, others in 0 to 255: bring them to one"),
        (ramp(0, 255, np.uint8), ramp(0, 1), "x_test lies in 0 to 1, others in 0 to 255"),
        (ramp(0, 255, int), ramp(0, 1) > 0.5, None),  # bytes and truth values say what they are
        (
            ramp(0, 65535, np.uint16),
            ramp(0, 255, np.uint8),
            "65535, x_test lies in 0 to 255: bring",
        ),
        (
            ramp(0, 65535, np.uint16),
            ramp(0, 4095, np.uint16),
            "x_test.* keep 17 grey levels of 256",
        ),
        (ramp(0, 1), ramp(0, 1 / 255), "x_test.* keep 2 grey levels of 256 values"),
        (ramp(0, 1), ramp(0, 0.3), None),
        (ramp(0, 255), np.ones((6, 20, 20)), None),
    ],
)
def test_parts_are_held_against_each_other(archive, train, test, message):
    if message is None:
        archive(train, test).check()
        return
    with pytest.raises(BadInputError, match=message):
        archive(train, test).check()


@pytest.mark.parametrize(
    ("white", "message"),
    [
        (1, "half of x_train lies above target.brightest=1"),
        (100, "half of x_train lies above target.brightest=100"),
        (
            1e6,
            r"with target.brightest=1e\+06 x_train, in 0 to 255, would keep 1 grey levels of 256",
        ),
    ],
)
def test_a_white_that_leaves_nothing_is_refused(archive, white, message):
    with pytest.raises(BadInputError, match=message):
        archive(ramp(0, 255), brightest=white).check()


def test_dim_bytes_are_bytes_and_a_line_asks_for_their_white(archive):
    dim = np.arange(12 * 400).reshape(12, 20, 20) % 17
    (line,) = archive(dim.astype(np.uint8)).remarks()
    assert "no pixel is brighter than 16 of 255" in line
    assert "target.brightest=16" in line
    assert archive(dim.astype(np.uint8), brightest=16).remarks() == []
    assert archive((dim * 4).astype(np.uint8)).remarks() == []  # 64 and above
    assert archive(np.zeros((12, 20, 20), bool)).remarks() == []


def test_one_hot_pixel_makes_no_white(archive):
    train = ramp(0, 1000, np.uint16)
    train[0, 0, 0] = 65535
    with pytest.raises(BadInputError, match="would keep 6 grey levels of 256 values"):
        archive(train).check()


# Files --------------------------------------------------------------------------------------------


def folder_of(root, images, suffix=".png"):
    """Write images in turn to two classes."""
    for i, image in enumerate(images):
        file = root / ("cat", "dog")[i % 2] / f"{i:02}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(image) if isinstance(image, bytes) else Image.fromarray(image).save(file)
    return root


def refused(message, root, **more):
    with pytest.raises(BadInputError, match=message) as caught:
        ImageFolder(str(root), test_split=0.5, **more).check()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(root))


def levels(root, **more):
    domain = ImageFolder(str(root), test_split=0.5, **more)
    domain.check()
    loaded = domain.load()
    return [
        image for part in (loaded.pool, loaded.test) for image in part.read(np.arange(len(part)))
    ]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_twelve_bits_in_sixteen_are_asked_for(tmp_path, suffix):
    root = folder_of(tmp_path / "p", ramp(0, 4095, np.uint16, 8), suffix)
    refused(r"8 images of 16 bits lie in 0 to 4095, .*brightest=4095 \(12 bits\)", root)
    found = np.concatenate([image.ravel() for image in levels(root, brightest=4095)])
    assert (found.min(), found.max(), len(np.unique(found))) == (0, 255, 256)


def test_ten_bits_are_asked_for_too(tmp_path):
    root = folder_of(tmp_path / "p", ramp(0, 1023, np.uint16, 8))
    refused(r"0 to 1023, .*: say it, as in target.brightest=1023 \(10 bits\)", root)


def test_sixteen_bits_are_clear_if_they_are_used(tmp_path):
    root = folder_of(tmp_path / "p", ramp(0, 65535, np.uint16, 8))
    assert len(np.unique(np.concatenate([image.ravel() for image in levels(root)]))) == 256


@pytest.mark.parametrize(
    ("kind", "low", "high", "message"),
    [
        (
            np.int32,
            0,
            255,
            r"whole numbers lie in 0 to 255, .*: say it, as in target.brightest=255",
        ),
        (np.int32, 0, 5000, r"0 to 5000, .*brightest=16383 \(14 bits\)"),
        (np.int32, -1024, 3071, "target.darkest=-1024 target.brightest=3071"),
        (
            np.float32,
            0,
            1.001,
            r"real numbers lie in 0 to 1.001, .*: say it, as in target.brightest=1$",
        ),
        (np.float32, 0, 4095, "brightest=4095"),
        (np.float32, -500, 500, "target.darkest=-500 target.brightest=500"),
    ],
)
def test_wide_numbers_in_tiff_are_asked_for(tmp_path, kind, low, high, message):
    root = folder_of(tmp_path / "p", ramp(low, high, kind, 8), ".tif")
    refused(message, root)
    found = np.concatenate([image.ravel() for image in levels(root, darkest=low, brightest=high)])
    assert (found.min(), found.max(), len(np.unique(found))) == (0, 255, 256)


def test_real_numbers_of_two_scales_are_refused(tmp_path):
    images = [*ramp(0, 1, np.float32, 4), *ramp(0, 255, np.float32, 4)]
    refused("8 images of real numbers lie in", folder_of(tmp_path / "p", images, ".tif"))


def test_a_test_part_of_fewer_bits_is_refused(tmp_path):
    folder_of(tmp_path / "p" / "train", ramp(0, 65535, np.uint16, 8))
    folder_of(tmp_path / "p" / "test", ramp(0, 1023, np.uint16, 8))
    with pytest.raises(
        BadInputError, match=r"16 bits in test, .* would keep 2 grey levels of 129 values"
    ):
        ImageFolder(str(tmp_path / "p")).check()


def packed_tiff(rows):
    """Return a TIFF whose header says 12 bits a pixel, two pixels to three bytes."""
    data = b"".join(struct.pack(">I", (a << 12 | b) << 8)[:3] for a, b in rows)
    entries = [(256, 2), (257, len(rows)), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1)]
    entries += [(278, len(rows)), (279, len(data))]
    body = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    data += b"\0" * (len(data) % 2)
    header = b"II*\0" + struct.pack("<I", 8 + len(data))
    return header + data + struct.pack("<H", len(entries)) + body + bytes(4)


def test_the_bits_in_a_tiffs_header_are_told(tmp_path):
    tiff = [packed_tiff([(i, 100 * i + j) for j in range(40)]) for i in range(4)]
    root = folder_of(tmp_path / "p", tiff, ".tif")
    refused(r"4 images of 12 bits lie in .*target.brightest=", root)


def sixteen_bit_colours(top):
    """Return a PNG of 16-bit colours up to `top`."""
    import zlib

    def chunk(name, data):
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    lines = np.linspace(0, top, 16 * 16 * 3).reshape(16, 48).astype(">u2")
    raw = b"".join(b"\0" + line.tobytes() for line in lines)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def test_dim_colours_of_sixteen_bits_are_refused_and_bright_ones_are_not(tmp_path):
    dim = folder_of(tmp_path / "dim", [sixteen_bit_colours(4095 + i) for i in range(4)])
    refused("4 images in colours of 16 bits reach 1. of 255 at most", dim)
    assert may_be_deep(io.BytesIO(sixteen_bit_colours(65535)))
    bright = folder_of(tmp_path / "b", [sixteen_bit_colours(65535 - i) for i in range(4)])
    assert {image.max() for image in levels(bright)} == {255}


def test_formats_that_scale_themselves_are_clear(tmp_path):
    values = np.arange(400) * 10
    pgm = [b"P5 20 20 4095\n" + (values + i).astype(">u2").tobytes() for i in range(4)]
    root = folder_of(tmp_path / "p", pgm, ".pgm")
    assert max(image.max() for image in levels(root)) == 249  # 3993 / 4095 * 255 = 248.6


def test_plain_images_need_no_word_and_take_none(tmp_path):
    root = folder_of(tmp_path / "p", ramp(0, 255, np.uint8, 8))
    assert len(levels(root)) == 8
    refused(
        "has images of 8 bits, in which white is 255: leave out target.brightest", root, brightest=9
    )


def test_tables_ask_too(tmp_path):
    folder_of(tmp_path, ramp(0, 4095, np.uint16, 8))
    files = sorted(tmp_path.rglob("*.png"))
    rows = [f"{file.relative_to(tmp_path)},{file.parent.name}" for file in files]
    (tmp_path / "t.csv").write_text("path,label\n" + "\n".join(rows))
    table = ImageTable(str(tmp_path / "t.csv"), test_split=0.5)
    with pytest.raises(BadInputError, match=r"t.csv: 8 images of 16 bits .*brightest=4095"):
        table.check()
    said = ImageTable(str(tmp_path / "t.csv"), test_split=0.5, brightest=4095)
    said.check()
    assert max(image.max() for image in said.load().pool.read(np.arange(4))) >= 128
    assert (
        said.content()
        == ImageTable(str(tmp_path / "t.csv"), test_split=0.5, brightest=5000).content()
    )


def test_hugging_face_images_ask_too(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    from transfergrid.data import huggingface

    monkeypatch.setattr(huggingface, "_KEPT", {})

    def encoded(array):
        stream = io.BytesIO()
        Image.fromarray(array).save(stream, "png")
        return {"bytes": stream.getvalue(), "path": None}

    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    rows = {"image": [encoded(i) for i in ramp(0, 4095, np.uint16, 8)], "label": [0, 1] * 4}
    part = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    datasets.DatasetDict(train=part).save_to_disk(str(tmp_path / "d"))
    place = {"folder": str(tmp_path / "d"), "test_split": 0.5}
    with pytest.raises(BadInputError, match=r"8 images of 16 bits .*brightest=4095"):
        huggingface.HuggingFaceImages(**place).check()
    said = huggingface.HuggingFaceImages(**place, brightest=4095)
    said.check()
    assert max(image.max() for image in said.load().test.read(np.arange(4))) >= 128


def test_new_images_are_read_as_the_target_was(tmp_path):
    from transfergrid.verbs.predicting import chunks_of

    root = folder_of(tmp_path / "p", [np.full((4, 4), 2048, np.uint16)])
    for inputs, level in (({"brightest": 4095}, 128), ({}, 8)):  # 127.53, 7.97
        (chunk,) = chunks_of({"modality": "image", **inputs}, [str(root)])
        assert (chunk.examples.read(np.array([0]))[0] == level).all()


# Values that no computation takes ----------------------------------------------------------------


@pytest.mark.parametrize("brightest", [10**400, 1e308])
def test_a_white_beyond_single_precision_is_refused(brightest):
    with pytest.raises(BadInputError, match=r"target\.brightest must lie within 1e\+30"):
        scale_of(None, brightest)


def test_black_and_white_must_be_apart():
    with pytest.raises(BadInputError, match=r"target\.brightest=.* must lie 1e-30 above"):
        scale_of(None, 1e-310)


# Identity -----------------------------------------------------------------------------------------


def test_what_is_said_joins_identity_and_silence_does_not(archive):
    plain = config_of(archive(ramp(0, 255)))
    older = {key: value for key, value in plain.items() if key not in ("brightest", "darkest")}
    assert config_digest(older) == config_digest(plain)
    assert len({config_digest({**plain, "brightest": b}) for b in (None, 1, 255)}) == 3
    assert config_digest({**plain, "brightest": 255, "darkest": -1}) != config_digest(
        {**plain, "brightest": 255}
    )


def test_a_scale_is_spelled_only_where_it_was_said():
    assert Scale().spelled == ""
    assert Scale(-1.0, 1.0).spelled != Scale(0.0, 1.0).spelled
