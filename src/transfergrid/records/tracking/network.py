"""Check quickly if a server is reachable; libraries would retry for most of a minute instead."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit
from urllib.request import getproxies

PATIENCE = 3.0
"""Seconds to wait for a connection to a server."""


def hub_answers() -> bool:
    """Return whether the Hugging Face hub is reachable and not disabled by `HF_HUB_OFFLINE`."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and reachable(constants.ENDPOINT)


def reachable(url: str) -> bool:
    """Return whether the server of a URL accepts a connection; True if there is a proxy."""
    if getproxies():  # with a proxy a direct connection shows nothing
        return True
    address = urlsplit(url)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        with socket.create_connection((address.hostname or "", port), PATIENCE):
            return True
    except OSError:
        return False
