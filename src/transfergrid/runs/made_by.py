"""What cached results depend on: weights and code, as short hashes for their cache keys."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from transfergrid.sources.backbone import Backbone


def weights_of(backbone: Backbone, blocks: int) -> str:
    """Return a hash (16 hex digits) of the parameters and buffers of the leading blocks."""
    own: dict[str, Tensor] = dict(backbone.named_parameters(remove_duplicate=False))
    own |= dict(backbone.named_buffers(remove_duplicate=False))  # non-persistent ones too
    names = [n for b in backbone.blocks("fine")[:blocks] for n in (*b.parameters, *b.buffers)]
    found = hashlib.sha256()
    for name in names:
        tensor = own[name].detach().cpu().contiguous()
        found.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:16]


def kinds_of(backbone: Backbone) -> set[type]:
    """Return the classes of a network, of its layers and of its preprocessing."""
    return {*map(type, backbone.modules()), type(backbone.preprocess)}


def code_of(kinds: Iterable[type], rooms: Sequence[str]) -> str:
    """Return a hash (16 hex digits) of the code of these classes and of these rooms."""
    found = hashlib.sha256()
    for file in sorted({file for kind in kinds if (file := _file_of(kind)) is not None}):
        found.update(_digest(file))
    for room in rooms:
        for file in sorted(str(f) for f in (Path(__file__).parents[1] / room).rglob("*.py")):
            found.update(_digest(file))
    return found.hexdigest()[:16]


@cache
def _file_of(kind: type) -> str | None:
    try:
        return inspect.getsourcefile(kind)
    except TypeError:
        return None


@cache
def _digest(file: str) -> bytes:
    try:
        return hashlib.sha256(Path(file).read_bytes()).digest()
    except OSError:
        return file.encode()
