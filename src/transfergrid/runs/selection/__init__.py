"""Rules that choose a step where the target has no labels: one short file a rule."""
