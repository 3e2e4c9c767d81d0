"""A second network beside the source's, which stands still."""
