"""Strategies that predict with a mean of weights: along one run, between two, over several."""
