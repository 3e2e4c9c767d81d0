"""What a cell costs: seconds, memory, parameters, operations."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from transfergrid.data.inputs import Inputs


class Stopwatch:
    """Seconds by the name of what was done; what runs inside another name counts there alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.perf_counter()
        self._running: list[list[float]] = []

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the time spent inside, less what nested measurements took, to `name`."""
        started, inner = time.perf_counter(), [0.0]
        self._running.append(inner)
        try:
            yield
        finally:
            self._running.pop()
            spent = time.perf_counter() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + spent - inner[0]
            if self._running:
                self._running[-1][0] += spent

    def total(self) -> float:
        """Return the seconds since this stopwatch was made."""
        return time.perf_counter() - self._started


def reset_peak_memory(device: torch.device) -> None:
    """Forget the highest memory use so far, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux, or not permitted: the peak is then that of the whole process
        return


def peak_memory(device: torch.device) -> int | None:
    """Return the device's highest memory use since the last reset, in bytes; None if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "win32":
        return None
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """Return how many parameters there are, and how many of them learn."""
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, learns in sizes if learns)


def forward_flops(module: nn.Module, inputs: Inputs) -> int:
    """Return the floating-point operations of one forward pass (a multiply-add counts as two)."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(as_precise(inputs, module))
    return int(counter.get_total_flops())


def as_precise(inputs: Inputs, module: nn.Module) -> Inputs:
    """Return inputs in the module's own precision: training in float64 leaves it in that."""
    own = next((p.dtype for p in module.parameters()), None)

    def cast(part: Tensor) -> Tensor:
        return part.to(own) if own is not None and part.is_floating_point() else part

    if isinstance(inputs, dict):
        return {name: cast(part) for name, part in inputs.items()}
    return cast(inputs)
