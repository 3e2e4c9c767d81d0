"""Several tasks or sources: what each gives and gains, and what is forgotten."""
