"""Memory-map arrays from files without keeping a file open for each array.

`numpy.load(mmap_mode="r")` keeps a file open for as long as its array lives. A cache of thousands
of parts would soon reach the limit of open files per process, 1,024 on many systems.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_FAILED = ctypes.c_void_p(-1).value
_HEADERS: dict[tuple[int, int], Any] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


def mapped(file: Path) -> NDArray[Any]:
    """Return the array of a `.npy` file, memory-mapped and read-only.

    The file may be removed while the array is in use.

    Raises:
        OSError: the file cannot be opened or mapped.
        ValueError: it is not such a file, is truncated, or holds objects, which need unpickling.
    """
    libc = _libc()
    if libc is None:
        return cast(NDArray[Any], np.load(file, mmap_mode="r", allow_pickle=False))
    with file.open("rb") as opened:
        read = _HEADERS.get(npy.read_magic(opened))
        if read is None:
            raise ValueError(f"{file}: of another version of the format")
        shape, is_fortran, dtype = read(opened)
        begin, size = opened.tell(), os.fstat(opened.fileno()).st_size
        count = int(np.prod(shape, dtype=np.int64))
        if dtype.hasobject or size < begin + count * dtype.itemsize:
            raise ValueError(f"{file}: it is cut, or holds objects")
        flags = mmap.MAP_PRIVATE
        address = libc.mmap(None, size, mmap.PROT_READ, flags, opened.fileno(), 0)
    if address in (None, _FAILED):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(file))
    held = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(held, libc.munmap, address, size).atexit = False
    found: NDArray[Any] = np.frombuffer(memoryview(held), dtype, count, begin)
    found.flags.writeable = False
    return found.reshape(shape, order="F" if is_fortran else "C")


@cache
def _libc() -> Any:
    """Return the C library, prepared for `mmap` and `munmap`; None if there is no such library."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype, libc.munmap.restype = ctypes.c_void_p, ctypes.c_int
    except (AttributeError, OSError, TypeError):
        return None
    whole, number = ctypes.c_size_t, ctypes.c_int
    libc.mmap.argtypes = (ctypes.c_void_p, whole, number, number, number, ctypes.c_long)
    libc.munmap.argtypes = (ctypes.c_void_p, whole)
    return libc
