"""What a person sees from the first second on."""

import io
import threading
import time

import pytest
from rich.console import Console

from transfergrid.runs.launching import progress
from transfergrid.runs.launching.progress import Bar, Lines, _Live, told_if_slow


@pytest.fixture
def lines(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    return Lines(total=3, done=0), clock


def test_lines_say_what_goes_on_until_the_first_cell_ends(lines, capsys):
    shown, _ = lines
    shown.doing(0, "a x digits")
    shown.doing(0, "a x digits", "step 1 of 9")
    shown.doing(0, "training source mnist, 400 steps")
    shown.ended("a x digits", None, None)
    shown.doing(0, "b x digits")
    shown.ended("b x digits", "it broke", 65.0)
    assert capsys.readouterr().out.splitlines() == [
        "a x digits",
        "training source mnist, 400 steps",
        "[1/3] a x digits: done",
        "[2/3, about 60 s to go] b x digits: failed: it broke",
    ]


def test_lines_do_not_stand_still_in_a_long_cell(lines, capsys):
    shown, clock = lines
    shown.ended("a", None, None)
    for clock[0] in (10.0, 31.0, 40.0, 62.0):
        shown.doing(0, "b x digits", f"step {clock[0]:.0f} of 900")
    assert capsys.readouterr().out.splitlines()[1:] == [
        "b x digits: step 31 of 900",
        "b x digits: step 62 of 900",
    ]


def test_what_takes_long_says_what_it_is_while_it_lasts(capsys):
    with told_if_slow("at once", after=60):
        pass
    said = threading.Event()
    with told_if_slow("slowly", after=0):
        for _ in range(500):
            if capsys.readouterr().out == "slowly\n":
                said.set()
                break
            time.sleep(0.01)
    assert said.is_set()


def test_a_bar_has_a_line_for_each_worker_and_keeps_to_the_terminal():
    _Live.now = {}
    out = io.StringIO()
    with _Live(console=Console(file=out, force_terminal=True, width=60)) as rich:
        bar = Bar(rich, total=4, done=1)
        bar.doing(1, "a name that is longer than a line of this terminal has room for", "step 3")
        bar.doing(0, "training source mnist")
        bar.ended("x", "it broke", 300.0)
        told = [text.plain for text in list(rich.get_renderables())[1:]]
    assert told[0] == "  training source mnist"
    assert told[1].startswith("  step 3, a name")
    assert rich.tasks[0].fields["to_go"] == ", about 5 min to go"
    assert "failed: x: it broke" in out.getvalue()
