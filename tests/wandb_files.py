"""Reads offline W&B files back."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class OfflineRun:
    """What an offline W&B file says."""

    id: str
    group: str
    job_type: str
    tags: list[str]
    config: dict[str, Any]
    history: list[dict[str, Any]]
    summary: dict[str, Any]
    exit_code: int


def records_in(path: Path) -> Iterator[Any]:
    """Yield the protobuf records of a .wandb file, which is a LevelDB log behind a short header.

    A record of which only a part has been written yet, as the file's writer goes on, is none.
    """
    from wandb.proto.wandb_internal_pb2 import Record as Message

    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768  # a record's header never spans two blocks
        if left < 7:
            at += left
            continue
        size, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        if at + 7 + size > len(data):
            return
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part of one
            yield Message.FromString(whole)
            whole = b""


def values_of(items: Any) -> dict[str, Any]:
    return {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}


def read_offline(path: Path) -> OfflineRun:
    patience = time.monotonic() + 10  # W&B's process closes the file after `finish` returns
    records = list(records_in(path))
    while not any(record.HasField("exit") for record in records):
        assert time.monotonic() < patience, f"{path} was never closed"
        time.sleep(0.02)
        records = list(records_in(path))
    summary: dict[str, Any] = {}
    for record in records:
        summary |= values_of(record.summary.update)
    run = next(record.run for record in records if record.HasField("run"))
    return OfflineRun(
        id=run.run_id,
        group=run.run_group,
        job_type=run.job_type,
        tags=list(run.tags),
        config=values_of(run.config.update),
        history=[values_of(r.history.item) for r in records if r.HasField("history")],
        summary=summary,
        exit_code=next(r.exit.exit_code for r in records if r.HasField("exit")),
    )


def offline_runs(folder: Path) -> list[OfflineRun]:
    return [read_offline(path) for path in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]
