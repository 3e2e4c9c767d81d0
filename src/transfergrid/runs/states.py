"""The state of a run as one file: tensors as safetensors, plain values as JSON in its header.

Nothing is unpickled. The file is replaced atomically: a reader sees the old or the new one, and
accepts it only if its checksum is right.
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
"""Nested dicts, lists and tuples of tensors, numbers, strings and None."""
_KINDS: dict[type, str] = {dict: "dict", list: "list", tuple: "tuple"}


class DamagedError(Exception):
    """A file holds no state, or not the one that was written."""


def write(state: Mapping[str, Any], file: Path, drafts: Path) -> None:
    """Write a state atomically.

    Args:
        state: the state.
        file: the file to write; its folder is made.
        drafts: folder for temporary files, on the same file system.

    Raises:
        OSError: the disk does not take it; the old file is unchanged.
        TypeError: it holds something that is neither a tensor nor a plain value.
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
    except SafetensorError as error:  # raised on a full disk too
        raise OSError(str(error)) from error
    with draft.open("rb") as written:
        os.fsync(written.fileno())


def read(file: Path) -> State:
    """Return the state in a file, with its tensors on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: the file is not as it was written, or cannot be read.
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
    """Moves tensors out of nested values; a tensor that occurs several times is stored once.

    Args:
        tensors: the dict that the tensors are put into, by the name that replaces them.
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors
        self._known: dict[tuple[Any, ...], str] = {}
        self._storages: set[int] = set()

    def packed(self, value: Any) -> Any:
        """Return a value for JSON: tensors, dicts, lists and tuples become {kind: content}."""
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
        """Return a tensor on the CPU that shares no memory with the other tensors here."""
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
    """Return the SHA-256 of the header's state and all tensors."""
    found = hashlib.sha256(told.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
