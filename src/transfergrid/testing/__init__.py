"""For authors of strategies: the conformance suite and the tiny parts that it runs on."""

from transfergrid.testing.conformance import (
    CHECKS,
    ConformanceError,
    check_strategy,
    run_check,
)
from transfergrid.testing.tiny import TinyArchitecture, TinyDomain, TinySource

__all__ = [
    "CHECKS",
    "ConformanceError",
    "TinyArchitecture",
    "TinyDomain",
    "TinySource",
    "check_strategy",
    "run_check",
]
