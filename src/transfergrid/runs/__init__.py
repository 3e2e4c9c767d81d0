"""Plan, launch, and one cell from start to finish. Imports what trains, and records."""
