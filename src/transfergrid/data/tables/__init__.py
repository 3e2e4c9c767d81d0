"""The rows of a table of examples: their order, labels, splits and paths."""
