"""Fine-tuning of all weights that something holds near the source."""
