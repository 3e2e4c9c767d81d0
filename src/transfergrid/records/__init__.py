"""What a cell is and what is on disk. Imports no torch, and no other room."""
