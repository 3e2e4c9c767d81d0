"""Ctrl-C is exit code 130 and a line, at whichever instant."""

import signal
import subprocess
import sys
import time
from functools import partial

import pytest

GRID = ["source=glyph_digits", "target=digits", "strategy=full_finetuning", "trainer.workers=1"]
MODES = """
import os, signal, sys, time
from transfergrid.records.process import interrupts

def ask():
    os.kill(os.getpid(), signal.SIGINT)

def swallowed():
    try:
        ask()
        time.sleep(5)
    except BaseException:
        pass

def put_away():
    print("put away", flush=True)

interrupts.hear()
"""


def typed(*words):
    """Return the process of Python with these words, which hears Ctrl-C as in a terminal."""
    return subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),
    )


def said(code):
    """Return exit code, output and errors of code that begins as the command does."""
    process = typed("-c", MODES + code)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.3, 0.6, 1.0, 1.5, 2.5])
def test_from_its_first_import_on_a_grid_ends_with_a_line(seconds, tmp_path):
    process = typed("-X", "importtime", "-m", "transfergrid", *GRID, f"results={tmp_path / 'r'}")
    for line in process.stderr:
        if "transfergrid.records.process.interrupts" in line:
            break
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    lines = [line for line in err.splitlines() if not line.startswith("import time:")]
    assert process.returncode == 130, (out, lines)
    assert lines == [] or lines[-1].startswith("transfergrid: stopped")
    assert len(lines) <= 1
    assert not [f for f in tmp_path.rglob("*") if f.is_file()]


def test_what_a_library_swallows_is_obeyed_while_nothing_is_lost_by_it():
    assert said("swallowed(); print('went on')") == (130, "", "transfergrid: stopped\n")
    with_workers = "with interrupts.on_the_spot(put_away): swallowed()"
    code, out, err = said(with_workers)
    assert (code, out) == (130, "put away\n")
    assert err == "transfergrid: stopped; the same command goes on from here\n"


def test_where_it_can_be_it_is_interrupted_as_python_is():
    code = "with interrupts.interruptible(): swallowed()\nprint(interrupts.was_raised())"
    assert said(code) == (0, "True\n", "")


def test_what_is_deferred_waits_for_a_place_where_it_may_be():
    code = """
with interrupts.deferred():
    ask()
    print("whole", flush=True)
    try:
        with interrupts.may_interrupt():
            print("never")
    except KeyboardInterrupt:
        print(interrupts.is_impatient())
    ask()
    print(interrupts.is_impatient(), flush=True)
    ask()
    print("never")
"""
    assert said(code)[:2] == (130, "whole\nFalse\nTrue\n")


def test_who_waits_is_interrupted_at_once():
    code = """
import threading
threading.Timer(0.3, ask).start()
with interrupts.deferred():
    try:
        with interrupts.may_interrupt():
            time.sleep(60)
    except KeyboardInterrupt:
        print("at once")
"""
    begun = time.monotonic()
    assert said(code) == (0, "at once\n", "")
    assert time.monotonic() - begun < 50


def test_a_process_of_somebody_elses_keeps_its_own_ways():
    """In a notebook, which never calls `hear`, Ctrl-C is Python's own affair."""
    code = MODES.replace("interrupts.hear()", "") + "with interrupts.deferred(): ask()"
    process = typed("-c", code)
    _, err = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in err
    assert process.returncode != 130
