"""What the records say: gains over baselines, their intervals, and the rows of tables."""
