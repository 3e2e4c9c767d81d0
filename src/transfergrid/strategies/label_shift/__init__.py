"""Strategies for a target with other shares of the source's classes, and nothing else new."""
