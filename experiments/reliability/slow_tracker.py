"""A tracker whose service, on this machine, answers late, with an error, or not at all."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from transfergrid.records.component import Part
from transfergrid.records.tracking.tracker import Exhibit, RunCard

PATIENCE = 3.0
"""Seconds after which the tracker gives up."""


@dataclass
class SlowTracker(Part):
    """Sends each beginning and end of a run, and waits for the answer.

    Args:
        port: of the service.
    """

    port: int = 0

    def start(self, card: RunCard) -> None:
        """Send a run's name."""
        self._send({"start": card.id})

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send nothing."""

    def show(self, exhibit: Exhibit) -> None:
        """Send that there is something to see."""
        self._send({"show": True})

    def finish(self, summary: Mapping[str, Any], failed: bool = False) -> None:
        """Send that a run has ended."""
        self._send({"finish": not failed})

    def _send(self, told: Mapping[str, Any]) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}", json.dumps(told).encode())
        urllib.request.urlopen(request, timeout=PATIENCE).close()


class _Late(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        fate = random.random()
        time.sleep(10.0 if fate < 0.02 else random.expovariate(5.0))
        self.send_response(500 if fate > 0.95 else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def service() -> Iterator[int]:
    """Yield the port of such a service while the block runs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Late) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
