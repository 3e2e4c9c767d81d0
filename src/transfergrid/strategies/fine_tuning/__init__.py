"""Strategies that start from the source's weights and see target labels."""
