"""A strategy that does what no cell should, each in its own way; a grid has to live with it.

It is imported by the processes of a grid, from a folder of the test's (see `test_isolation.py`).
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from transfergrid.strategies import Strategy

Deed = Literal["nothing", "raise", "diverge", "hang", "exit", "os_exit", "segfault", "memory"]


class Culprit(Strategy):
    """Fine-tuning that in its second step does what it says.

    Args:
        deed: what it does.
        shared: `lr_factor` and `schedule`.
    """

    def __init__(self, deed: Deed = "nothing", **shared: Any) -> None:
        super().__init__(**shared)
        self.deed = deed

    def loss(self, batch, progress):
        found = super().loss(batch, progress)
        if not progress:
            return found
        print(f"about to {self.deed}", flush=True)
        if self.deed == "raise":
            raise ValueError("a bug of mine")
        if self.deed == "diverge":
            return found * float("nan")
        if self.deed == "hang":
            time.sleep(600)
        if self.deed == "exit":
            sys.exit(3)
        if self.deed == "os_exit":
            os._exit(7)
        if self.deed == "segfault":
            ctypes.string_at(0)
        if self.deed == "memory":
            _run_out_of_memory()
        return found


def _run_out_of_memory():
    """Take more and more, until the kernel, which a limit of 1 GiB stands for here, kills it."""
    held = []
    while True:
        held.append(np.ones(2**24, dtype=np.uint8))
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
        if len(held) > 16 and resident:
            os.kill(os.getpid(), signal.SIGKILL)
