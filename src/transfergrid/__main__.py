"""`python -m transfergrid` is the command `transfergrid`."""

from transfergrid.cli import main

if __name__ == "__main__":
    main()
