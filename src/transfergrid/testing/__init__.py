"""For authors of strategies: the conformance suite, and the tiny parts that it runs on.

May import: records, data, sources, strategies, runs. Never: wandb.
"""

from transfergrid.testing.conformance import (
    CHECKS,
    ConformanceError,
    Outcome,
    check_strategy,
    outcomes,
    run_check,
)
from transfergrid.testing.tiny import TinyArchitecture, TinyDomain, TinySource
from transfergrid.testing.tiny_text import TinyTextArchitecture, TinyTextDomain, TinyTextSource
from transfergrid.testing.tiny_tokens import TinyTokenArchitecture, TinyTokenSource
from transfergrid.testing.tiny_vectors import TinyVectorDomain, TinyVectorSource

__all__ = [
    "CHECKS",
    "ConformanceError",
    "Outcome",
    "TinyArchitecture",
    "TinyDomain",
    "TinySource",
    "TinyTextArchitecture",
    "TinyTextDomain",
    "TinyTextSource",
    "TinyTokenArchitecture",
    "TinyTokenSource",
    "TinyVectorDomain",
    "TinyVectorSource",
    "check_strategy",
    "outcomes",
    "run_check",
]
