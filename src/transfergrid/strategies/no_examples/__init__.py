"""Classes without any example, by descriptions that they share with the classes of a source."""
