"""Transferability scores: forecasts of which source helps, from one pass of features."""
