"""Gains, intervals, verdicts, curves: what the records show.

May import: records. Never: torch, pytorch_lightning, hydra, omegaconf, wandb.
"""
