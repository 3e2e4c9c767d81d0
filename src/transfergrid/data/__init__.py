"""Domains, tasks, splits, budgets, streams of batches. Imports records."""
