"""Networks that were read from files, kept by a process for the cells that begin with them too."""

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
"""Networks that a process keeps."""
LARGEST_BYTES = 64 * 2**20
"""Of one: larger ones are read anew, which takes little beside running them."""
_memory: OrderedDict[tuple[object, ...], Backbone] = OrderedDict()


def remembered(source: Component, file: str, read: Callable[[], Backbone]) -> Backbone:
    """Return what `read` does, or a copy of what it did for the same source and the same file.

    Args:
        source: whose config says all that `read` depends on, beside what is in the file.
        file: of its weights.
        read: builds the network and reads all its weights, so that no random ones are left.
    """
    try:
        told = Path(file).stat()
    except OSError:
        return read()  # which says what is wrong
    config = json.dumps(config_of(source), sort_keys=True, default=repr)
    key = (config, told.st_mtime_ns, told.st_size, told.st_ino)
    if key in _memory:
        _memory.move_to_end(key)
        return deepcopy(_memory[key])
    made = read()
    if sum(p.nbytes for p in (*made.parameters(), *made.buffers())) <= LARGEST_BYTES:
        _ = made.dim  # measured by a pass, once for all copies
        with suppress(RuntimeError, TypeError):  # not every network can be copied
            _memory[key] = deepcopy(made)
    while len(_memory) > MOST:
        _memory.popitem(last=False)
    return made
