"""The wording of numbers, names, verdicts and findings, alike in every output; knows no table."""
