"""What a cell writes down about itself, beyond its scores, while its model is in memory."""
