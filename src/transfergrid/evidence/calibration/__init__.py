"""How often verdicts are wrong: planted truths, and the rules that are tried on them."""
