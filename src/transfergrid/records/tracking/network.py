"""Whether it is worth asking a server: libraries of their own would retry for most of a minute."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit
from urllib.request import getproxies

PATIENCE = 3.0
"""Seconds to wait for a server's first answer."""


def hub_answers() -> bool:
    """Return whether it is worth asking the Hugging Face hub."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and reachable(constants.ENDPOINT)


def reachable(url: str) -> bool:
    """Return whether it is worth asking the server of an address."""
    if getproxies():  # then a connection of our own says nothing
        return True
    address = urlsplit(url)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        with socket.create_connection((address.hostname or "", port), PATIENCE):
            return True
    except OSError:
        return False
