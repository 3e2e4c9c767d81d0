"""A cell again from its record: equal, different, or impossible, and what is said of it."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from composed import planned
from kept_cells import CPU, cell, made
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.keeping import has_model, why_kept
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.report.tables.sheet import render
from transfergrid.runs.cell import run_cell
from transfergrid.verbs import reproducing
from transfergrid.verbs.cli import main
from transfergrid.verbs.comparing import Compared, conclusion, sheet


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return made(tmp_path_factory.mktemp("done"), "full_finetuning", keep=None)


def copied(done, tmp_path):
    ledger, records = done
    shutil.copytree(ledger.root, tmp_path / "results")
    return Ledger(tmp_path / "results"), records["full_finetuning"]


def altered(ledger, record, **changes):
    """Put an altered record, or altered predictions, in the place of a cell's."""
    said = ledger.predictions(record.id)
    shift = changes.pop("shift", 0.0)
    shutil.rmtree(ledger.folder(record.id))
    probabilities, first = said.probabilities.copy(), said.probabilities[0]
    probabilities[0, first.argmax()] -= shift  # and the sum of the row stays
    probabilities[0, first.argmin()] += shift
    moved = Predictions(probabilities, said.labels)
    ledger.write(replace(record, **changes), moved, {})


def reproduce(ledger, record, *options):
    return reproducing.command([record.id[:8], "--results", str(ledger.root), *options])


def test_the_same_code_gives_the_same_cell_and_its_weights(done, tmp_path, capsys):
    ledger, record = copied(done, tmp_path)
    before = sorted((ledger.root / "cells").rglob("*"))
    assert reproduce(ledger, record) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == "the same, exactly"
    assert sorted((ledger.root / "cells").rglob("*")) == before
    assert not has_model(ledger, record.id)
    assert reproduce(ledger, record, "--keep") == 0
    assert why_kept(ledger, record.id) == "reproduced"
    assert ledger.read(record.id) == record, "the record stays what it was"
    for word in (
        "test accuracy",
        "chosen step",
        "test predictions",
        "examples seen",
        "160/40/0/797",
    ):
        assert word in shown
    table = shown[shown.index("     ") :].splitlines()
    assert max(map(len, table)) <= 80


def test_programs_are_told_line_by_line_and_nothing_else():
    lines = [
        Compared("test accuracy", "0.5", "0.6", "differs"),
        Compared("x", "", "", "equal", False),
    ]
    told = sheet(lines, "a cell", [conclusion(lines)])
    assert [row["what"] for row in json.loads(render(told, "json"))] == ["test accuracy", "x"]
    text = render(told)
    assert text.splitlines()[-2:] == ["equal: x", "different: test accuracy"]
    assert re.search(r"^test accuracy +0\.5 +0\.6 +differs$", text, re.M)


def test_what_differs_is_named_and_keeps_no_weights(done, tmp_path, capsys):
    ledger, record = copied(done, tmp_path)
    test = {**record.scores.test, "accuracy": record.score + 0.01}
    versions = {**record.versions, "torch": "1.0"}
    altered(
        ledger,
        record,
        scores=replace(record.scores, test=test),
        chosen=replace(record.chosen, step=99),
        data=replace(record.data, train=161),
        versions=versions,
        commit="abc",
        shift=0.05,
    )
    assert reproduce(ledger, record, "--keep") == 1
    shown = capsys.readouterr().out
    assert "different: test accuracy, chosen step, test predictions, examples seen" in shown
    assert "largest change 5.0e-02" in shown
    assert re.search(r"^torch +1\.0 +\S+ +another$", shown, re.M)
    assert re.search(r"^commit +abc +\S+ +another$", shown, re.M)
    assert re.search(r"validation accuracy .* equal$", shown, re.M)
    assert "not kept" in shown
    assert not has_model(ledger, record.id)


def test_rounding_is_told_from_a_difference(done, tmp_path, capsys):
    ledger, record = copied(done, tmp_path)
    altered(ledger, record, shift=2e-7)
    assert reproduce(ledger, record) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "the same within 1e-06"


def test_a_cell_that_fails_now_is_different(done, tmp_path, monkeypatch, capsys):
    ledger, record = copied(done, tmp_path)

    def broken(*_, **__):
        raise FloatingPointError("the training loss is nan at step 3")

    monkeypatch.setattr(reproducing, "run", broken)
    assert reproduce(ledger, record) == 1
    assert "now it fails: FloatingPointError: the training loss is nan" in capsys.readouterr().out


# Data that moved or changed ---------------------------------------------------------------------


def archive(file, change=0):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (60, 8, 8), dtype=np.uint8)
    x[0, 0, 0] += change
    np.savez(file, x=x, y=np.arange(60) % 2)


@pytest.fixture
def on_file(tmp_path):
    """A closed form's cell whose data lie in a file."""
    archive(tmp_path / "scans.npz")
    plan = planned(
        *("strategy=logistic_regression", "target=arrays", "target.test_split=0.2"),
        *(f"target.file={tmp_path / 'scans.npz'}", "labels=10"),
    )
    (wanted,) = [c for c in plan.cells if c.id in plan.wanted]
    ledger = Ledger(tmp_path / "results")
    return ledger, run_cell(wanted, ledger, CPU), tmp_path


def refused(capsys, monkeypatch, ledger, *words):
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as left:
        main(["reproduce", *words, "--results", str(ledger.root)])
    shown = capsys.readouterr()
    assert (left.value.code, shown.out) == (2, "")
    (line,) = shown.err.splitlines()
    return line


def test_moved_data_are_found_where_one_says(on_file, monkeypatch, capsys):
    ledger, record, folder = on_file
    (folder / "scans.npz").rename(folder / "moved.npz")
    line = refused(capsys, monkeypatch, ledger, record.id)
    assert "scans.npz" in line
    assert line.endswith("if it was moved, say where it is: --set target.file=PATH")
    assert reproduce(ledger, record, "--set", f"target.file={folder / 'moved.npz'}") == 0
    assert "the same, exactly" in capsys.readouterr().out


def test_changed_data_are_not_taken_for_the_recorded_ones(on_file, monkeypatch, capsys):
    ledger, record, folder = on_file
    archive(folder / "other.npz", change=1)
    moved = ["--set", f"target.file={folder / 'other.npz'}"]
    assert "its target is not what it was" in refused(
        capsys, monkeypatch, ledger, record.id, *moved
    )
    archive(folder / "scans.npz", change=1)
    line = refused(capsys, monkeypatch, ledger, record.id)
    assert "its target is not what it was" in line
    assert "--set target.file=PATH" in line


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("target.fil=x", "did you mean file?"),
        ("target.metric=loss", "only what names a file or folder can be moved"),
        ("labels=3", "give a key inside a part"),
        ("target.file", "give a key inside a part"),
        ("source.file=x", "give a key inside a part"),
    ],
)
def test_only_places_can_be_changed(on_file, change, told):
    _, record, _ = on_file
    with pytest.raises(BadInputError, match=re.escape(told)):
        reproducing.cell_again(record, [change])


def test_unknown_cells(on_file, monkeypatch, capsys):
    ledger, record, _ = on_file
    assert "no cell's id" in refused(capsys, monkeypatch, ledger, "full")
    near = ("0" if record.id[0] != "0" else "1") + record.id[1:]
    assert f"did you mean {record.id}" in refused(capsys, monkeypatch, ledger, near)


def test_the_cell_is_the_recorded_one(done):
    _, records = done
    again = reproducing.cell_again(records["full_finetuning"])
    planned_cell = cell("full_finetuning")
    assert (again.id, again.parts) == (planned_cell.id, planned_cell.parts)


def test_it_needs_no_hydra():
    told = (
        "import sys, transfergrid.verbs.reproducing\n"
        "print({'hydra', 'omegaconf'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
