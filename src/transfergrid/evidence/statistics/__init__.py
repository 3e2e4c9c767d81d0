"""Formulas: intervals, boundaries, corrections, ranks. Numbers in, numbers out."""
