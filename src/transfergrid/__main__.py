"""The command `transfergrid`, and `python -m transfergrid`: hears Ctrl-C before it imports more."""

import os
import signal


def main() -> None:
    """Run the command; leaves with its exit code."""
    hear()
    from transfergrid.verbs.cli import main as obey

    obey()


def hear() -> None:
    """End on the spot at Ctrl-C from this very moment on, until it is known what to put away."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in the background of a shell
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from transfergrid.records.process import interrupts

    interrupts.hear()


if __name__ == "__main__":
    hear()
    from transfergrid.records import trust

    trust.leave_working_directory()  # before any library is looked for there
    main()
