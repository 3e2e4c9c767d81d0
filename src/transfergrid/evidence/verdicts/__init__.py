"""From gains to verdicts: the rule, families, what few seeds cannot have seen, and robustness."""
