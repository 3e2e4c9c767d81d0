"""Verdicts on results made elsewhere: any table of runs, judged by the one rule."""

from transfergrid.evidence.foreign.judging import (
    judge_table,
    read_foreign,
    results_of_table,
    verdicts,
)

__all__ = ["judge_table", "read_foreign", "results_of_table", "verdicts"]
