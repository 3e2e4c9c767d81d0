"""A worker's memory: freed memory is kept while a cell runs, for speed, and given back after it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, ClassVar

KEPT = 512 * 2**20
"""Freed bytes that a worker keeps for the next cell."""
LARGE = 4 * 2**20
"""Size of a network, in bytes, from which its reference cycles are collected at once."""
_MALLOPT = {-1: KEPT, -2: 64 * 2**20, -4: 0}
"""glibc's M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_MAX."""


class _Told(ctypes.Structure):
    """glibc's struct of memory statistics, in bytes (`mallinfo2`)."""

    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]
    fordblks: int
    """Bytes that are free but not given back to the system."""


@cache
def keep_what_is_freed() -> None:
    """Let glibc keep freed memory, up to half a GiB, instead of returning it to the kernel.

    By default the kernel maps each large tensor anew and clears its pages: with batches of 256
    photographs that takes longer than the network does.
    """
    if set_option := _of_glibc("mallopt"):
        for option, value in _MALLOPT.items():
            set_option(option, value)


def free_cycles(size: int = LARGE) -> None:
    """Free objects that refer to one another: a network, its optimiser and its trainer.

    Python's garbage collector does not see the size of tensors, and would let GiB pile up: a trial
    of a search leaves five times its network (weights, gradients, the optimiser's two means, the
    weights of the best step).

    Args:
        size: bytes of the network; below `LARGE` nothing is done: little memory is at stake, and
            collecting takes as long as a few steps.
    """
    if size >= LARGE:
        gc.collect()


def bytes_of(tensors: Iterable[Any]) -> int:
    """Return how many bytes tensors take."""
    return sum(tensor.nbytes for tensor in tensors)


def end_of_cell() -> None:
    """Free the cell that ended, and give memory back to the system that the next may not need.

    Objects that exist after the first cell (modules, caches) are frozen for the garbage collector,
    which makes later collections short. By itself glibc returns only free memory at the top of the
    heap, not between used blocks: a worker would stay as large as its largest cell.
    """
    free_cycles()
    _set_aside()
    if free_bytes() > KEPT and (trim := _of_glibc("malloc_trim")):
        trim(0)


def give_back() -> None:
    """Free all that can be freed, also on a GPU, after a run that was out of memory."""
    import torch

    free_cycles()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def free_bytes() -> int:
    """Return how many bytes were freed and not given back; 0 if that is not known."""
    tell: Any = _of_glibc("mallinfo2")
    if tell is None:
        return 0
    tell.restype = _Told
    return int(tell().fordblks)


@cache
def _set_aside() -> None:
    """Freeze all present objects for the garbage collector, once per process.

    The cache tells whether it was done: `gc.get_freeze_count` would take 0.05 s.
    """
    gc.freeze()


@cache
def _of_glibc(name: str) -> Callable[..., Any] | Any:
    """Return a function of the C library; None if it has none of that name."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
