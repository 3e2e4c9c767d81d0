"""Cells in worker processes on this machine, and how far they are."""
