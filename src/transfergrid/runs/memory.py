"""A worker's memory: kept while a cell runs, which is quick, and given back once it is done."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, ClassVar

KEPT = 512 * 2**20
"""Bytes that were freed and that a worker holds all the same, for the next cell."""
LARGE = 4 * 2**20
"""Bytes of a network from which on what it leaves is freed at once."""
_MALLOPT = {-1: KEPT, -2: 64 * 2**20, -4: 0}
"""glibc's M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_MAX."""


class _Told(ctypes.Structure):
    """What glibc tells of its memory, in bytes (`mallinfo2`)."""

    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]
    fordblks: int
    """Bytes that are free, but not given back."""


@cache
def keep_what_is_freed() -> None:
    """Let glibc keep what is freed, up to half a GiB, instead of handing pages back and forth.

    By default each large tensor is mapped anew and its pages cleared by the kernel: with batches of
    256 photographs that takes longer than the network does.
    """
    if set_option := _of_glibc("mallopt"):
        for option, value in _MALLOPT.items():
            set_option(option, value)


def free_cycles(size: int = LARGE) -> None:
    """Free what points at one another: a network, its optimiser and its trainer.

    Left to itself Python's collector, which sees no tensor's size, lets GiB gather: a trial of a
    search leaves a network five times over, with its gradients, its optimiser's two means and the
    weights of its best step.

    Args:
        size: bytes of the network; of one that is not `LARGE` what lies about does not matter, and
            to look for it takes as long as a few steps.
    """
    if size >= LARGE:
        gc.collect()


def bytes_of(tensors: Iterable[Any]) -> int:
    """Return how many bytes tensors take."""
    return sum(tensor.nbytes for tensor in tensors)


def end_of_cell() -> None:
    """Free the cell that ended, and give back what the next one may never need.

    What is there after the first cell (modules, caches) is set aside, which makes later searches
    short. What lies free between what is in use glibc gives back by itself only where nothing is
    above it: a worker would stay as large as its largest cell ever was.
    """
    free_cycles()
    _set_aside()
    if free_bytes() > KEPT and (trim := _of_glibc("malloc_trim")):
        trim(0)


def give_back() -> None:
    """Free whatever can be, on a GPU too: what was tried there needed more than there is."""
    import torch

    free_cycles()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def free_bytes() -> int:
    """Return how many bytes were freed and not given back; 0 where nobody tells."""
    tell: Any = _of_glibc("mallinfo2")
    if tell is None:
        return 0
    tell.restype = _Told
    return int(tell().fordblks)


@cache
def _set_aside() -> None:
    """Do so once; to count what was set aside, as Python does to tell, takes 0.05 s."""
    gc.freeze()


@cache
def _of_glibc(name: str) -> Callable[..., Any] | Any:
    """Return a function of the C library; None where there is none of that name."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
