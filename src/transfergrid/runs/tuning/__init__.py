"""Trying settings inside a cell: which are tried, one after another, and which one is tested."""
