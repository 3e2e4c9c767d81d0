"""A disk that takes nothing costs a line, never a traceback or what was judged."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ledger_factory import made
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Status
from transfergrid.runs.launching import processes, progress
from transfergrid.verbs.cli import main
from verdict_cells import Cells

FULL = OSError(errno.ENOSPC, "No space left on device")
CLOSED = OSError(errno.EROFS, "Read-only file system")


@pytest.fixture
def ledger(tmp_path):
    cells = Cells()
    cells.arm("probe", "birds", 75, cells.arm("scratch"))
    return cells.write(Ledger(tmp_path / "results"))


def typed(capsys, *words):
    with pytest.raises(SystemExit) as left:
        main([*map(str, words)])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return left.value.code, printed


@pytest.fixture(params=[FULL, CLOSED], ids=["full", "closed"])
def disk(request, monkeypatch):
    """Refuse every write of a ledger, as the disk does that is full or closed."""

    def refuse(*_, **__):
        raise request.param

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(Path, "write_text", refuse)
    return request.param


@pytest.mark.parametrize("verb", ["verdicts", "table", "curves", "compare"])
def test_a_look_that_cannot_be_written_down_is_said_and_the_table_shown(verb, ledger, disk, capsys):
    places = [ledger.root] * (2 if verb == "compare" else 1)
    code, printed = typed(capsys, verb, *places)
    assert code == 0
    assert printed.out
    if verb != "curves":  # of one budget there is none, and so no look
        assert f"this look was not written down: {disk.strerror}" in printed.err


def test_a_look_that_cannot_be_written_down_counts_for_the_next_judgement(ledger, disk):
    bench = bench_of(ledger)
    first = bench.verdicts()
    bench.note_look(first, "verdicts")
    assert len(bench.earlier) == 1
    assert [look.by for look in bench.earlier] == ["verdicts"]
    assert [v.level for v in bench.verdicts()] == [v.level for v in first]  # the same seeds


def test_a_failure_that_cannot_be_kept_stops_no_cell(ledger, disk):
    shown = []

    class Shown(progress.Silent):
        def remark(self, line):
            shown.append(line)

    pool = processes.Pool(ledger, None, shown=Shown())
    for reason in ("first", "second"):
        pool._keep_failure(replace(made(), status=Status.FAILED, reason=reason), "log")
    assert len(shown) == 1  # said once
    assert disk.strerror in shown[0]


def test_a_folder_is_tried_with_the_bytes_of_a_cell(ledger, monkeypatch):
    """An empty file can still be made on a disk that is full."""
    import tempfile

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return False

        def write(self, data):
            raise FULL

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(BadInputError, match=r"cannot write results to .*: No space left on device"):
        ledger.check_writable()


LONG = "x" * 300


@pytest.mark.parametrize(
    "words",
    [
        ("verdicts", LONG),
        ("table", LONG),
        ("report", "R", "-o", LONG),
        ("list", "cells", "--results", LONG),
        ("compare", LONG, LONG),
        ("explain", "abcd", "--results", LONG),
        ("predict", LONG, "x.png"),
    ],
    ids=lambda words: words[0],
)
def test_a_path_that_no_disk_takes_is_told_in_a_line(words, ledger, capsys):
    code, printed = typed(capsys, *(ledger.root if word == "R" else word for word in words))
    assert code == 2
    line = printed.err.splitlines()[-1]
    assert line.startswith("transfergrid: ")
    assert "File name too long" in line or "no results" in line or "no cell" in line
    assert len(line) < 700


@pytest.mark.parametrize("verb", ["table", "curves", "report"])
def test_results_that_are_a_file_are_told(verb, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code, printed = typed(capsys, verb, tmp_path / "file")
    assert code == 2
    assert printed.err.splitlines() == [
        f"transfergrid: no results in '{tmp_path / 'file'}': it is a file"
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_standard_output_that_is_full_is_told_in_a_line(ledger, capsys, monkeypatch):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        with pytest.raises(SystemExit) as left:
            main(["table", str(ledger.root)])
        monkeypatch.undo()
        assert left.value.code == 2
        assert capsys.readouterr().err.splitlines() == [
            f"transfergrid: {os.strerror(errno.ENOSPC)}"
        ]
        full_again = os.open("/dev/null", os.O_WRONLY)
        os.dup2(full_again, full.fileno())  # so that closing does not try again
        os.close(full_again)
