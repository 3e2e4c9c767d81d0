"""What people see of the evidence: tables, the HTML report, pages at W&B.

May import: records, evidence. Never: torch, pytorch_lightning, hydra, omegaconf.
"""
