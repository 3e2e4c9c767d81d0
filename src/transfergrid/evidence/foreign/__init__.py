"""Verdicts on results made elsewhere: any table of runs, judged by the one rule."""

from transfergrid.evidence.foreign.judging import judge_table, read_foreign, verdicts

__all__ = ["judge_table", "read_foreign", "verdicts"]
