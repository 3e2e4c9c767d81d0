"""Labels that a model gives itself, and what its own predictions say of unlabelled inputs."""
