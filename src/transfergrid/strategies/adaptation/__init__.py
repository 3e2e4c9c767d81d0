"""Strategies that learn from a source domain and unlabelled target inputs."""
