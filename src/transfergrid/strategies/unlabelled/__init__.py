"""Learning from inputs without labels: sparse codes of a source's, clusters of a target's."""
