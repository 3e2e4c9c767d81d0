"""The command line and the sweep, where what trains and what judges meet.

May import: records, data, sources, strategies, runs, evidence, report, testing. Never: wandb.
"""
