"""Strategies that tell several sources apart: domains side by side, or weights of each."""
