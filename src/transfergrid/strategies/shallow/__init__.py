"""Shallow adaptation: closed forms on features of a source that stands still."""
