"""How a source's knowledge reaches a target: one short file a method, a folder a family.

May import: records, data, sources. Never: timm, torchvision, transformers, hydra, omegaconf, wandb.
"""
