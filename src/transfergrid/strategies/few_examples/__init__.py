"""From a few examples of new classes, by a source that has learned to learn, or knows its mean."""
