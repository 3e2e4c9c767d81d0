"""What a cell costs: seconds, memory, parameters, operations."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


class Stopwatch:
    """Measures seconds by name; nested measurements count only for the inner name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.perf_counter()
        self._running: list[_Running] = []

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the seconds spent inside, without nested measurements, to `name`."""
        self._running.append(running := _Running(name, time.perf_counter()))
        try:
            yield
        finally:
            self._running.pop()
            spent = time.perf_counter() - running.started
            self.seconds[name] = self.seconds.get(name, 0.0) + spent - running.inner
            if self._running:
                self._running[-1].inner += spent

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Count the time spent inside neither under a name nor in the total."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            self._started += spent
            if self._running:
                self._running[-1].inner += spent

    def total(self) -> float:
        """Return the seconds since this stopwatch was made, and those carried over."""
        return time.perf_counter() - self._started

    def so_far(self) -> dict[str, float]:
        """Return the seconds by name, including running measurements."""
        found, now, inside = dict(self.seconds), time.perf_counter(), 0.0
        for running in reversed(self._running):
            spent = now - running.started
            found[running.name] = found.get(running.name, 0.0) + spent - running.inner - inside
            inside = spent
        return found

    def carry(self, seconds: Mapping[str, float], total: float) -> None:
        """Add what an earlier process took for the same run."""
        self._started -= total
        for name, spent in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + spent


@dataclass
class _Running:
    """A running measurement: its name, its start, and the seconds of nested measurements."""

    name: str
    started: float
    inner: float = 0.0


@dataclass(frozen=True)
class Spent:
    """What all attempts at a cell took together, without work that was lost when one was killed.

    Attributes:
        seconds: by name, as a `Stopwatch` measures them.
        total: seconds in all.
        peak_memory_bytes: the highest of all attempts; None if unknown.
        continued: how often a process resumed from the checkpoint of another.
        attempt: number of the latest attempt, from 1.
        started: ISO 8601 time at which the first attempt began.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    total: float = 0.0
    peak_memory_bytes: int | None = None
    continued: int = 0
    attempt: int = 0
    started: str | None = None


def reset_peak_memory(device: torch.device) -> None:
    """Reset the record of the highest memory use, if the system allows it."""
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


def count_parameters(parameters: Iterable[nn.Parameter]) -> int:
    """Return the total number of elements of these parameters."""
    return sum(parameter.numel() for parameter in parameters)


def forward_flops(module: nn.Module, inputs: Any) -> int:
    """Return the floating-point operations of one forward pass (a multiply-add counts as two)."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(as_precise(inputs, module))
    return int(counter.get_total_flops())


def forward_seconds(module: Callable[[Any], Any], inputs: Any, times: int = 3) -> float:
    """Return the seconds of one forward pass: the least of several, as the machine may be shared.

    Args:
        module: called once before measuring, to warm up.
        inputs: its inputs, on its device.
        times: how many passes are measured.
    """

    def timed() -> float:
        begin = time.perf_counter()
        module(inputs)
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    with torch.no_grad():
        return min([timed() for _ in range(times + 1)][1:])


def as_precise(inputs: Any, module: nn.Module) -> Any:
    """Return inputs in the module's own precision: after training in float64 it is float64.

    Args:
        inputs: a tensor, a dict of tensors, or a tuple of leading blocks' outputs.
        module: the module that takes them.
    """
    own = next((p.dtype for p in module.parameters()), None)

    def cast(part: Tensor) -> Tensor:
        return part.to(own) if own is not None and part.is_floating_point() else part

    if isinstance(inputs, dict):
        return {name: cast(part) for name, part in inputs.items()}
    return tuple(map(cast, inputs)) if isinstance(inputs, tuple) else cast(inputs)
