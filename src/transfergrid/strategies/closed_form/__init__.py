"""Strategies that solve for the answer on frozen features, without a step."""
