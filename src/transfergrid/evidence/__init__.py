"""Gains, intervals, verdicts, curves. Imports records alone."""
