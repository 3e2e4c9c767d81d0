"""A worker loop whose workers are pretended: `python pretend_loop.py QUEUE ...`."""

import sys

import pretend_grid
from transfergrid.runs.launching import joining, processes

if __name__ == "__main__":
    processes.Pool.command = pretend_grid.COMMAND
    sys.exit(joining.main(sys.argv[1:]))
