"""A strategy that does what no cell should, each in its own way; a grid has to live with it.

It is imported by the processes of a grid, from a folder of the test's (see `test_isolation.py`).
"""

import ctypes
import os
import signal
import sys
import time
from typing import Any, Literal

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
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does that has none left
        return found
