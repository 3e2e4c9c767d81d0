"""The command `transfergrid`, and `python -m transfergrid`: hears Ctrl-C before it imports more."""

from transfergrid.records import interrupts


def main() -> None:
    """Run the command; leaves with its exit code."""
    interrupts.hear()
    from transfergrid.verbs.cli import main as obey

    obey()


if __name__ == "__main__":
    interrupts.hear()
    from transfergrid.records import trust

    trust.leave_working_directory()  # before any library is looked for there
    main()
