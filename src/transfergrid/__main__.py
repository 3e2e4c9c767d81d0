"""`python -m transfergrid` is the command `transfergrid`."""

from transfergrid.records import trust

if __name__ == "__main__":
    trust.leave_working_directory()  # before any library is looked for there
    from transfergrid.verbs.cli import main

    main()
