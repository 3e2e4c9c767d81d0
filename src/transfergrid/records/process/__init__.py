"""This process and others: who is told to stop, who is gone, what one is doing."""
