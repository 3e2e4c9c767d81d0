"""Backbones, and where their weights are from: one file per library and kind of weights.

May import: records, data. Never: pytorch_lightning, hydra, omegaconf, wandb.
"""
