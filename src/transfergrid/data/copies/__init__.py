"""Copies of test examples in what is learned from: searched, counted, left out."""
