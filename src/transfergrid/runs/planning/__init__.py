"""From what was asked to the cells that run: completed, ordered, warned of. Imports no torch."""
