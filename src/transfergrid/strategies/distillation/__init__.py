"""Strategies in which a student learns from a teacher: the source, adapted to the target."""
