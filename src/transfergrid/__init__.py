"""Which source model and which transfer strategy help, which hurt, and how sure we are."""
