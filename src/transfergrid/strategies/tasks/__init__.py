"""Strategies that learn several tasks at once."""
