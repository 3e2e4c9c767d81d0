"""Backbones with weights, and where the weights came from."""
