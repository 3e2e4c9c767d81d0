"""Domains, tasks, splits, label budgets, streams of batches: one file per kind of data.

May import: records. Never: pytorch_lightning, hydra, omegaconf, wandb.
"""
