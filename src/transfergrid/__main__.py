"""`python -m transfergrid` is the command `transfergrid`."""

from transfergrid import trust

if __name__ == "__main__":
    trust.leave_working_directory()  # before any library is looked for there
    from transfergrid.cli import main

    main()
