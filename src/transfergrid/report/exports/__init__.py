"""Results for other programs: one table of all records, a model's card, W&B pages and runs."""
