"""What is shown while a grid runs and when it ends: its progress, verdicts to come, the close."""
