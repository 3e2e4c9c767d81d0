"""A worker gives back what a large cell took, and keeps what the next one needs at once."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from transfergrid.runs import memory

MEASURE = """
from pathlib import Path
from transfergrid.runs import memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

memory.keep_what_is_freed()
start = resident()
pieces = [bytearray(b"x" * 2**20) for _ in range({megabytes})]
above = bytearray(b"x" * 2**20)
del pieces
after = resident()
memory.end_of_cell()
print(after - start, resident() - start)
"""


def taken_and_left(megabytes):
    """Return the MiB that a process holds after so many were let go below something in use.

    Before the end of a cell, and after it.
    """
    words = [sys.executable, "-c", MEASURE.format(megabytes=megabytes)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return [int(word) for word in said.split()]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.skipif(memory._of_glibc("mallinfo2") is None, reason="no glibc, or an old one")
def test_a_large_cell_leaves_no_large_worker_and_a_small_one_its_memory_to_the_next():
    taken, left = taken_and_left(700)
    assert taken > 600, "glibc keeps what lies below something in use"
    assert left < 100
    taken, left = taken_and_left(200)
    assert left > 180
    assert taken > 180


def test_cycles_of_a_large_network_are_freed_at_once_and_those_of_a_small_one_wait():
    class Cycle:
        def __init__(self):
            self.own = self

    def freed_at_the_size(size):
        gc.collect()
        watched = weakref.ref(Cycle())
        memory.free_cycles(size)
        return watched() is None

    gc.disable()
    try:
        assert freed_at_the_size(memory.LARGE)
        assert not freed_at_the_size(memory.LARGE - 1)
    finally:
        gc.enable()
