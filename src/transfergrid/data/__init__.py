"""Domains, splits and label budgets; knows NumPy and Pillow, no torch."""
