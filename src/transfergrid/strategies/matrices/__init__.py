"""Filling a matrix of ratings: by means, by factors, by a small rank, beside another matrix."""
