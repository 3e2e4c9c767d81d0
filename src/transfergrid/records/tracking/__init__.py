"""Where the numbers of runs are sent: the tracker, W&B's, and the process that brings runs up."""
