"""One cell from start to finish, and around it planning, launching, scores, diagnostics.

May import: records, data, sources, strategies. Never: hydra, omegaconf, wandb.
"""
