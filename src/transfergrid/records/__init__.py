"""What a cell is and what is on disk: identity, record, ledger, index, tracking.

May import: no other room. Never: torch, pytorch_lightning, hydra, omegaconf.
"""
