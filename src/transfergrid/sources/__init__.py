"""Backbones and where their weights are from. Imports records and data."""
