"""What a network may learn from inputs alone: a file for each task, named as `source.method` is."""
