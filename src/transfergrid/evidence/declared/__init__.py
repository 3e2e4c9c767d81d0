"""What a grid declared before its results were there, what looking costs, and where it stands."""
