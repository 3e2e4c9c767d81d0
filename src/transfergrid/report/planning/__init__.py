"""What is shown before a grid: its plan, ranked sources, calibration, searched defaults."""
