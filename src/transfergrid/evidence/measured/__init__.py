"""What was measured: which cells are meant, arms, their scores and gains."""
