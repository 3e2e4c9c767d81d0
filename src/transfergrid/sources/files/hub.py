"""Downloading pretrained weights that timm and torchvision know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from transfergrid.records.errors import BadInputError, first_line
from transfergrid.records.tracking.network import hub_answers, reachable
from transfergrid.sources.files import weights

if TYPE_CHECKING:
    from torch import Tensor

    from transfergrid.sources.backbone import Backbone


def timm_backbone(model: str, with_weights: Callable[..., Backbone]) -> Backbone:
    """Return a timm model with its pretrained weights, downloaded unless they are cached.

    Args:
        model: its name.
        with_weights: builds it; see `TimmArchitecture.with_weights`.

    Raises:
        BadInputError: timm knows no weights for it, or they cannot be fetched.
    """
    import timm

    config = timm.get_pretrained_cfg(model)
    if config is None or not config.has_weights:
        raise _none(model, "timm knows no pretrained weights for it")
    file = _cached_file(config)
    if file is not None:
        held = weights.read(file)
        return _with_head(with_weights(True, held), held)
    if config.hf_hub_id and not hub_answers():
        raise _none(model, "they are not on this disk and the hub cannot be reached")
    try:
        made = with_weights(True)
    except OSError as error:  # from the hub's client or from urllib
        raise _none(model, first_line(error)) from error
    file = _cached_file(config)
    return made if file is None else _with_head(made, weights.read(file))


def torchvision_file(model: str, published: Any | None) -> str:
    """Return the path of torchvision's weights, downloaded unless they are cached.

    Args:
        model: the model's name.
        published: torchvision's entry for the weights.

    Raises:
        BadInputError: torchvision knows no weights for the model, or they cannot be fetched.
    """
    import torch

    if published is None:
        raise _unavailable(model, "torchvision knows no pretrained weights for it", _FILE)
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = folder / Path(urlsplit(published.url).path).name
    if file.is_file():
        return str(file)
    instead = f"{_FILE}, or put {file.name} into {folder}"
    if not reachable(published.url):
        reason = "they are not on this disk and the server cannot be reached"
        raise _unavailable(model, reason, instead)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(published.url, str(file), progress=False)
    except OSError as error:
        raise _unavailable(model, first_line(error), instead) from error
    return str(file)


_FILE = "source.file=PATH"


def _none(model: str, reason: str) -> BadInputError:
    other = f"source=checkpoint source.model={model} source.file=PATH"
    return _unavailable(model, reason, f"{_FILE}, or {other}")


def _unavailable(model: str, reason: str, instead: str) -> BadInputError:
    told = f"no pretrained weights for {model}: {reason}. Without a network give {instead}"
    return BadInputError(told)


def _with_head(made: Backbone, held: Mapping[str, Tensor]) -> Backbone:
    heads = tuple(f"{name}." for name in made.head_names)
    made.head_weights = {name: held[name] for name in held if name.startswith(heads)}
    return made


def _cached_file(config: Any) -> str | None:
    """Return the cached file of timm's weights, if there is one and timm reads it unchanged."""
    if not config.hf_hub_id or config.custom_load:
        return None
    return _cached(config.hf_hub_id, config.hf_hub_filename)


def _cached(repository: str, filename: str | None) -> str | None:
    """Return the path of a hub model's weights in the download cache; None if not cached."""
    from huggingface_hub import try_to_load_from_cache

    for name in (filename, "model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(repository, name) if name else None
        if isinstance(found, str):
            return found
    return None
