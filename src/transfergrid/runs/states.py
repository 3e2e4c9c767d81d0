"""The state of a run as one file: tensors as safetensors, the plain rest as JSON in its header.

Nothing is unpickled. A reader meets the file as it was before or as it is now, never between, and
takes it only where its checksum is right.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from transfergrid.records.files import contents
from transfergrid.records.process.living import unique_name

State: TypeAlias = dict[str, Any]
"""Dicts, lists and tuples of tensors, numbers, texts and None."""
_KINDS: dict[type, str] = {dict: "dict", list: "list", tuple: "tuple"}


class DamagedError(Exception):
    """A file that holds no state, or not the one that was written."""


def write(state: Mapping[str, Any], file: Path, drafts: Path) -> None:
    """Write a state whole, or not at all.

    Args:
        state: what is written.
        file: where to; its folder is made.
        drafts: folder, on the same file system, for what is being written.

    Raises:
        OSError: the disk does not take it; the file is as it was.
        TypeError: something else is in it.
    """
    tensors: dict[str, Tensor] = {}
    told = json.dumps(_Packing(tensors).packed(dict(state)))
    header = {"state": told, "sum": _sum(told, tensors)}
    draft = drafts / unique_name()
    draft.mkdir(parents=True)
    try:
        _save(tensors, draft / file.name, header)
        file.parent.mkdir(parents=True, exist_ok=True)
        (draft / file.name).replace(file)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _save(tensors: dict[str, Tensor], draft: Path, header: dict[str, str]) -> None:
    try:
        save_file(tensors, draft, header)
    except SafetensorError as error:  # of a full disk it raises its own kind
        raise OSError(str(error)) from error
    with draft.open("rb") as written:
        os.fsync(written.fileno())


def read(file: Path) -> State:
    """Return a state, its tensors on the CPU.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: the file is another one than was written, or cannot be read.
    """
    try:
        contents.status_of(file)
        with safe_open(file, framework="pt") as opened:
            header = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
        if header["sum"] != _sum(header["state"], tensors):
            raise DamagedError("its checksum is wrong")
        state: State = _unpacked(contents.parsed(header["state"]), tensors)
        return state
    except FileNotFoundError:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"it cannot be read: {' '.join(str(error).split())}") from error


class _Packing:
    """Takes tensors out of plain values, each one once however often it occurs.

    Args:
        tensors: get them, by the name that stands in their place.
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors
        self._known: dict[tuple[Any, ...], str] = {}
        self._storages: set[int] = set()

    def packed(self, value: Any) -> Any:
        """Return a value as JSON has it: what is no plain value as {kind: content}."""
        if isinstance(value, Tensor):
            return {"tensor": self._name(value.detach())}
        kind = _KINDS.get(type(value))
        if kind == "dict":
            return {kind: [[self.packed(k), self.packed(v)] for k, v in value.items()]}
        if kind is not None:
            return {kind: [self.packed(item) for item in value]}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(f"a {type(value).__name__} cannot be kept")

    def _name(self, tensor: Tensor) -> str:
        same = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        if not tensor.numel() or same not in self._known:
            self._known[same] = name = str(len(self.tensors))
            self.tensors[name] = self._alone(tensor)
        return self._known[same]

    def _alone(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the CPU that shares its memory with no other one here."""
        own = tensor.cpu().contiguous()
        storage = own.untyped_storage()
        if storage.data_ptr() in self._storages or storage.nbytes() != own.nbytes:
            own = own.clone()
        self._storages.add(own.untyped_storage().data_ptr())
        return own


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {_unpacked(k, tensors): _unpacked(v, tensors) for k, v in content}
    items = [_unpacked(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items


def _sum(told: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of all that a file holds."""
    found = hashlib.sha256(told.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
