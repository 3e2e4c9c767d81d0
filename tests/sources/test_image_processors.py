"""What a network is fed is what transformers' own image processor makes of the same picture.

Values and the order of channels are compared, to 1e-5 of the largest value; how pictures are
resized is this program's own (conf/source/PREPROCESSING.md).
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, ViTConfig
from transformers.models.auto.image_processing_auto import (
    IMAGE_PROCESSOR_MAPPING_NAMES,
    get_image_processor_class_from_name,
)

from transfergrid.records.errors import BadInputError
from transfergrid.sources.backbones.transformers_vision_backbone import image_preprocess
from transfergrid.sources.files import model_folder
from transfergrid.sources.preprocessing import image_processors
from transfergrid.sources.preprocessing.images import ImagePreprocess
from transfergrid.sources.transformers_vision import TransformersVisionArchitecture

COLOUR = (200, 30, 90)
SIDE = 224
STILL = {"do_resize": False, "do_center_crop": False, "do_pad": False}
SHIPPED = {
    name: kind
    for kind, names in reversed(IMAGE_PROCESSOR_MAPPING_NAMES.items())
    if isinstance(names, dict) and (name := names.get("torchvision") or names.get("pil"))
}
"""Each class of image processors, with a model that it is for."""
FOLLOWED = (
    *("BeitImageProcessor", "BitImageProcessor", "CLIPImageProcessor", "ConvNextImageProcessor"),
    *("DeiTImageProcessor", "DINOv3ViTImageProcessor", "EfficientNetImageProcessor"),
    *("LevitImageProcessor", "MobileNetV1ImageProcessor", "MobileNetV2ImageProcessor"),
    *("MobileViTImageProcessor", "PoolFormerImageProcessor", "PvtImageProcessor"),
    *("SegformerImageProcessor", "SiglipImageProcessor", "ViTImageProcessor"),
)
"""Of common image encoders: these must not be refused."""


def folder_of(root: Path, kind: str, told: dict[str, Any]) -> Path:
    (root / "config.json").write_text(json.dumps({"model_type": kind}))
    (root / "preprocessor_config.json").write_text(json.dumps(told))
    return root


def ours(reading: image_processors.Reading, picture: np.ndarray) -> torch.Tensor:
    values = (reading.mean, reading.std, reading.interpolation, reading.bgr)
    preprocess = ImagePreprocess(picture.shape[:2], 3, *values)
    return preprocess.finish(preprocess.prepare(picture[None]), "none", None)


def theirs(processor: Any, picture: np.ndarray, **options: Any) -> torch.Tensor:
    made = processor(picture, return_tensors="pt", input_data_format="channels_last", **options)
    return made["pixel_values"].float()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, shape).astype(np.uint8)


def assert_same(reading: image_processors.Reading, processor: Any) -> None:
    picture = noise(64, 96, 3)
    expected = theirs(processor, picture, **STILL)
    difference = (ours(reading, picture) - expected).abs().max()
    assert difference <= 1e-5 * expected.abs().max()
    height, width = reading.size or (SIDE, SIDE)
    if max(height, width) > 512:
        return
    plain = np.full((height, width, 3), COLOUR, dtype=np.uint8)
    whole = theirs(processor, plain)  # with its own resizing, cropping and padding
    middle = whole[0, :, whole.shape[2] // 2, whole.shape[3] // 2]
    torch.testing.assert_close(ours(reading, plain)[0, :, 0, 0], middle, rtol=1e-4, atol=2e-3)


@pytest.mark.filterwarnings("ignore")
def test_every_processor_of_transformers_is_followed_or_refused(tmp_path):
    followed, refused = set(), {}
    for name, kind in SHIPPED.items():
        root = tmp_path / name
        root.mkdir()
        cls = get_image_processor_class_from_name(name)
        folder_of(root, kind, {"image_processor_type": name})
        try:
            reading = image_processors.read(root, 3, kind)
        except BadInputError as error:
            refused[name] = str(error)
            continue
        assert_same(reading, cls())
        followed.add(name)
    assert set(FOLLOWED) <= followed
    assert all("\n" not in text and "source.architecture.mean" in text for text in refused.values())
    assert len(followed) > len(refused)


VIT, MOBILEVIT = "ViTImageProcessor", "MobileViTImageProcessor"
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
OWN = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.1, 0.2, 0.3]}
WRITTEN: dict[str, tuple[dict[str, Any], tuple[float, ...], tuple[float, ...], bool, str]] = {
    "an old file": (
        {"feature_extractor_type": "ViTFeatureExtractor", "size": 224, **OWN},
        (0.4, 0.5, 0.6),
        (0.1, 0.2, 0.3),
        False,
        "bilinear",
    ),
    "no type, mean or std": ({}, (0.5,) * 3, (0.5,) * 3, False, "bilinear"),
    "pixels up to 255": (
        {"do_rescale": False, "image_mean": [102, 127.5, 153], "image_std": [51, 51, 51]},
        (0.4, 0.5, 0.6),
        (0.2,) * 3,
        False,
        "bilinear",
    ),
    "pixels up to 255 and no more": (
        {"do_rescale": False, "do_normalize": False},
        (0.0,) * 3,
        (1 / 255,) * 3,
        False,
        "bilinear",
    ),
    "pixels up to 2": (
        {"rescale_factor": 2 / 255, **HALF, "resample": 3},
        (0.25,) * 3,
        (0.25,) * 3,
        False,
        "bicubic",
    ),
    "pixels up to 1": (
        {"do_normalize": False, **HALF, "resample": 0},
        (0.0,) * 3,
        (1.0,) * 3,
        False,
        "nearest",
    ),
    "blue first": (
        {"image_processor_type": MOBILEVIT},
        (0.0,) * 3,
        (1.0,) * 3,
        True,
        "bicubic",
    ),
    "red first": (
        {"image_processor_type": MOBILEVIT, "do_flip_channel_order": False},
        (0.0,) * 3,
        (1.0,) * 3,
        False,
        "bicubic",
    ),
}


@pytest.mark.parametrize("case", WRITTEN)
@pytest.mark.parametrize("nested", [False, True])
def test_a_file_is_read_as_transformers_reads_it(tmp_path, case, nested):
    told, mean, std, bgr, interpolation = WRITTEN[case]
    folder = folder_of(tmp_path, "vit", told)
    expected = AutoImageProcessor.from_pretrained(folder)
    if nested:
        folder_of(tmp_path, "vit", {**OWN, "image_std": [9.0] * 3})  # not what counts
        (folder / "processor_config.json").write_text(json.dumps({"image_processor": told}))
    reading = image_processors.read(folder, 3, "x")
    assert reading.mean == pytest.approx(mean)
    assert reading.std == pytest.approx(std)
    assert (reading.bgr, reading.interpolation) == (bgr, interpolation)
    assert_same(reading, expected)


@pytest.mark.parametrize(
    ("told", "size"),
    [
        ({"size": 96}, (96, 96)),
        ({"size": [64, 96]}, (64, 96)),
        ({"size": {"height": 48, "width": 80}}, (48, 80)),
        ({"image_processor_type": "CLIPImageProcessor", "crop_size": 32}, (32, 32)),
        (
            {"image_processor_type": "CLIPImageProcessor", "size": 40, "do_center_crop": False},
            (40, 40),
        ),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 192}},
            (192, 192),
        ),
        ({"image_processor_type": "GLPNImageProcessor"}, None),
    ],
)
def test_the_size_of_inputs_is_what_comes_out(tmp_path, told, size):
    folder = folder_of(tmp_path, "vit", told)
    assert image_processors.read(folder, 3, "x").size == size
    if size is not None:
        picture = noise(300, 300, 3)
        made = theirs(AutoImageProcessor.from_pretrained(folder), picture)
        assert made.shape[2:] == size


def test_what_is_given_is_taken_and_what_is_not_known_is_refused(tmp_path):
    def made(**given: Any) -> ImagePreprocess:
        architecture = TransformersVisionArchitecture(folder=str(tmp_path), **given)
        architecture.check()
        return image_preprocess(architecture, tmp_path, ViTConfig())

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", "image_size": 32}))
    with pytest.raises(BadInputError, match=r"no preprocessor_config\.json.*mean=\[0\.485"):
        made()
    with pytest.raises(BadInputError, match=r"no preprocessor_config\.json"):
        made(mean=[0.5], size=32)
    assert made(mean=[0.3], std=[0.2]).mean == (0.3,) * 3
    folder_of(tmp_path, "vit", {"image_processor_type": "MyProcessor", "size": 32})
    with pytest.raises(BadInputError, match=r"MyProcessor cannot be made") as error:
        made(mean=[0.3], std=[0.2])
    assert "\n" not in str(error.value)
    assert made(mean=[0.3], std=[0.2], size=32).std == (0.2,) * 3
    folder_of(tmp_path, "vit", {"image_processor_type": MOBILEVIT})
    assert made(mean=[0.3], std=[0.2]).bgr


def test_code_beside_a_processor_is_not_run(tmp_path):
    mine = "open(__file__ + '.run', 'w')\nclass Mine: pass\n"
    (tmp_path / "mine.py").write_text(mine)
    told = {"auto_map": {"AutoImageProcessor": "mine.Mine"}, "image_processor_type": "Mine"}
    with pytest.raises(BadInputError, match="Mine cannot be made"):
        image_processors.read(folder_of(tmp_path, "vit", told), 3, "x")
    assert not (tmp_path / "mine.py.run").exists()
    told["image_processor_type"] = VIT
    assert image_processors.read(folder_of(tmp_path, "vit", told), 3, "x").mean == (0.5,) * 3
    assert not (tmp_path / "mine.py.run").exists()


def test_blue_comes_first_where_a_network_takes_it_so():
    picture = noise(1, 8, 8, 3)
    red_first = ImagePreprocess((8, 8), 3, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    blue_first = dataclasses.replace(red_first, bgr=True)
    turned = red_first.finish(red_first.prepare(picture[..., ::-1].copy()), "none", None)
    assert torch.equal(blue_first.finish(blue_first.prepare(picture), "none", None), turned)
    assert blue_first != red_first
    assert str(blue_first) != str(red_first)
    assert "bgr" not in str(red_first), "fingerprints of others stay"


FULL = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_processor_type": VIT,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"height": 224, "width": 224},
    **HALF,
}


@pytest.mark.parametrize(
    ("change", "other"),
    [
        ({}, False),
        ({"do_normalize": False}, False),
        ({"do_rescale": False}, True),
        ({"rescale_factor": 1 / 127.5}, True),
        ({"do_flip_channel_order": True}, True),
        ({"image_mean": None}, True),
        ({"resample": None}, True),
        ({"size": {"height": 32, "width": 64}}, True),
    ],
)
def test_identity_changes_only_where_inputs_do(tmp_path, change, other):
    """16 hex digits of these files as they were before all of a file was read."""
    told = {key: value for key, value in (FULL | change).items() if value is not None}
    folder = folder_of(tmp_path, "vit", told)
    facts = {
        name: hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        for name, values in (
            ("config.json", {"model_type": "vit"}),
            ("preprocessor_config.json", told),
        )
    }
    before = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    assert (model_folder.content(folder) != before) == other


def test_a_file_of_all_processors_counts_only_where_it_speaks_of_images(tmp_path):
    folder = folder_of(tmp_path, "vit", FULL)
    before = model_folder.content(folder)
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "X"}))
    assert model_folder.content(folder) == before
    assert model_folder.read_preprocessor(folder) == FULL
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": FULL | OWN}))
    assert model_folder.content(folder) != before
    model_folder.copy_description(folder, tmp_path / "copy")
    assert model_folder.read_preprocessor(tmp_path / "copy") == FULL | OWN
