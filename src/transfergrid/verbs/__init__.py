"""The command line and the sweep: where what trains and what judges meet."""
