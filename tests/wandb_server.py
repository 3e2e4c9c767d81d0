"""A stand-in for W&B's server on loopback: it takes runs, or fails as servers do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Manner = Literal["well", "silent", "slow", "too many", "broken", "stalls"]
STATUS = {"too many": 429, "broken": 500}
LATE = 1.0
"""Seconds that each answer of a slow server takes."""


class Server(ThreadingHTTPServer):
    """Keeps what it is told of runs.

    Args:
        manner: `silent` takes connections and never answers, `stalls` does so once it has accepted
            a run; `too many` and `broken` answer 429 and 500 to everything.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, manner: Manner = "well") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.manner: Manner = manner
        self.closing = threading.Event()
        self.runs: dict[str, dict[str, Any]] = {}
        """By id: what the run was opened with, its config and all else that came of it."""
        self.sweep: dict[str, Any] = {}
        """What a sweep's agents are told: `command`, and `runs` that they are to start."""
        self.asked: list[str] = []
        """The paths of all requests."""
        self.ended: list[str] = []
        """Ids of runs that were closed, in that order."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def saw(self, what: Callable[[], bool], patience: float = 30.0) -> bool:
        """Return whether something becomes true of what the server was told."""
        end = time.monotonic() + patience
        while not what() and time.monotonic() < end:
            time.sleep(0.05)
        return what()

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        """Return the status and what is answered to a request."""
        self.asked.append(path)
        if self.manner == "silent":
            self.closing.wait()
        if self.manner == "slow":
            time.sleep(LATE)
        if self.manner in STATUS:
            return STATUS[self.manner], {"error": self.manner}
        if path.endswith("/graphql"):
            told = json.loads(body)
            return 200, {"data": self._data(told["query"], told.get("variables") or {})}
        parts = path.strip("/").split("/")
        if parts[-1] == "file_stream":
            if self.manner == "stalls":
                self.closing.wait()
            self._streamed(parts[-2], json.loads(body))
        return 200, {}

    def _data(self, query: str, told: dict[str, Any]) -> dict[str, Any]:
        if "upsertBucket" in query:
            run = self.runs.setdefault(str(told["name"]), {"history": {}, "summary": {}})
            run.update({key: value for key, value in told.items() if value is not None})
            project = {"id": "p", "name": told["project"], "entity": {"id": "e", "name": "team"}}
            bucket = {"id": f"id-{told['name']}", "name": told["name"], "project": project}
            bucket |= {"displayName": told.get("displayName"), "historyLineCount": 0}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if "createRunFiles" in query:
            files = [{"name": n, "uploadUrl": f"{self.url}/files/{n}"} for n in told["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        if "createArtifact(" in query:  # a table's: it is there already
            version = {"id": "a", "versionIndex": 0}
            artifact = {"id": "a", "state": "COMMITTED", "artifactSequence": {"id": "s"}}
            artifact["artifactSequence"] |= {"latestArtifact": version}
            return {"createArtifact": {"artifact": artifact}}
        if "useArtifact(" in query:
            return {"useArtifact": {"artifact": {"id": "a"}}}
        if "createAgent(" in query:
            return {"createAgent": {"agent": {"id": "agent"}}}
        if "agentHeartbeat(" in query:
            runs = [{"type": "run", "program": "-", **run} for run in self.sweep["runs"]]
            self.sweep["runs"] = []
            told = {"agent": {"id": "agent"}, "commands": json.dumps(runs)}
            return {"agentHeartbeat": told}
        if "sweep(" in query:
            config = json.dumps({"method": "random", "command": self.sweep["command"]})
            sweep = {"id": "s", "name": told["sweep"], "method": "random", "state": "RUNNING"}
            sweep |= {"config": config, "runCountExpected": 1, "bestLoss": None, "displayName": "s"}
            sweep |= {"description": None, "priorRuns": {"edges": []}, "runs": {"edges": []}}
            return {"project": {"id": "p", "sweep": sweep}}
        if "viewer" in query:
            return {"viewer": {"id": "v", "entity": "team", "username": "someone", "flags": "{}"}}
        return {}

    def _streamed(self, run: str, told: dict[str, Any]) -> None:
        for name, part in told.get("files", {}).items():
            rows = [json.loads(line) for line in part["content"]] if "json" in name else []
            if name == "wandb-history.jsonl":
                self.runs[run]["history"].update(enumerate(rows, part["offset"]))
            elif name == "wandb-summary.json":
                self.runs[run]["summary"] = rows[-1]
        if told.get("complete"):
            self.runs[run]["exit"] = told.get("exitcode")
            self.ended.append(run)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, told = self.server.answer(self.path, body)
        data = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.do_POST()

    def do_PUT(self) -> None:
        self.do_POST()

    def handle(self) -> None:
        """Let clients go as they like."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(manner: Manner = "well") -> Iterator[Server]:
    """Yield a server that listens."""
    server = Server(manner)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
