"""Filling a matrix of ratings: by means, by factors, by a penalty on its rank, beside another one."""
