"""A cache, in each process, of networks that were read from files."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

from transfergrid.records.factory import config_of

if TYPE_CHECKING:
    from transfergrid.records.component import Component
    from transfergrid.sources.backbone import Backbone

MOST = 4
"""How many networks a process caches."""
LARGEST_BYTES = 64 * 2**20
"""Largest size of a cached network; reading a larger one is fast compared with running it."""
_memory: OrderedDict[tuple[object, ...], Backbone] = OrderedDict()


def remembered(source: Component, file: str, read: Callable[[], Backbone]) -> Backbone:
    """Return the network that `read` returns, or a copy of a cached one.

    Args:
        source: its config must determine the result of `read`, apart from the file's contents.
        file: the weight file; its time, size and inode are part of the cache key.
        read: builds the network and loads all its weights, so that none are random.
    """
    try:
        told = Path(file).stat()
    except OSError:
        return read()  # it raises a proper error
    config = json.dumps(config_of(source), sort_keys=True, default=repr)
    key = (config, told.st_mtime_ns, told.st_size, told.st_ino)
    if key in _memory:
        _memory.move_to_end(key)
        return deepcopy(_memory[key])
    made = read()
    if sum(p.nbytes for p in (*made.parameters(), *made.buffers())) <= LARGEST_BYTES:
        _ = made.dim  # measure it once for all copies
        with suppress(RuntimeError, TypeError):  # not every network can be copied
            _memory[key] = deepcopy(made)
    while len(_memory) > MOST:
        _memory.popitem(last=False)
    return made
