"""Pretrained weights that timm knows where to find."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

from transfergrid.errors import BadInputError
from transfergrid.sources import weights

if TYPE_CHECKING:
    from transfergrid.sources.backbone import Backbone
    from transfergrid.sources.timm import TimmArchitecture

PATIENCE = 3.0
"""Seconds to wait for the hub's first answer; its own client would retry for most of a minute."""


def pretrained(architecture: TimmArchitecture) -> Backbone:
    """Return the architecture with its pretrained weights, downloaded unless they are here already.

    Raises:
        BadInputError: timm knows no weights for it, or they cannot be had now.
    """
    import timm

    config = timm.get_pretrained_cfg(architecture.model)
    if config is None or not config.has_weights:
        raise _none(architecture, "timm knows no pretrained weights for it")
    if config.hf_hub_id and not config.custom_load:
        file = _cached(config.hf_hub_id, config.hf_hub_filename)
        if file is not None:
            return architecture.with_weights(True, weights.read(file))
    if config.hf_hub_id and not answers():
        raise _none(architecture, "they are not on this disk and the hub cannot be reached")
    try:
        return architecture.with_weights(True)
    except OSError as error:  # of the hub's client and of urllib alike
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _none(architecture, reason) from error


def _none(architecture: TimmArchitecture, reason: str) -> BadInputError:
    return BadInputError(
        f"no pretrained weights for {architecture.model}: {reason}. Without a network give "
        f"source.file=PATH, or source=checkpoint source.model={architecture.model} source.file=PATH"
    )


def _cached(repository: str, filename: str | None) -> str | None:
    """Return where earlier downloads left a model's weights."""
    from huggingface_hub import try_to_load_from_cache

    for name in (filename, "model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(repository, name) if name else None
        if isinstance(found, str):
            return found
    return None


def answers() -> bool:
    """Return whether it is worth asking the hub."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if getproxies():  # then a connection of our own says nothing
        return True
    address = urlsplit(constants.ENDPOINT)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        with socket.create_connection((address.hostname or "", port), PATIENCE):
            return True
    except OSError:
        return False
