"""Stands here so that tests in folders below find the helpers beside it."""
