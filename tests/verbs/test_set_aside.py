"""Every verb: a file that cannot be used is left out and named, and everything else is judged."""

import json
import os
import shutil

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from ledger_factory import identity
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.verbs.cli import MOST_NAMED, main
from verdict_cells import Cells

DEEP = "[" * 200_000
VERBS = [
    ("verdicts", "R"),
    ("verdicts", "R", "--show", "beside"),
    ("table", "R"),
    ("curves", "R"),
    ("curves", "R", "--against", "steps"),
    ("list", "cells", "--results", "R"),
    ("compare", "R", "R"),
    ("calibrate", "R", "--simulations", "10", "--seeds", "3", "--scenario", "normal"),
]


@pytest.fixture
def study(tmp_path):
    """Return a ledger of two budgets, so that there are curves, and the records of its arms."""
    cells, arms = Cells(), {}
    for labels in (5, 20):
        base = cells.arm("scratch", n=4, labels=labels)
        arms[labels] = cells.arm("probe", "birds", 75, base, n=4, labels=labels)
    ledger = cells.write(Ledger(tmp_path / "results"))
    cell = {"baseline": None, "exploratory": []}
    ledger.write_document("grids", {"id": "whole", "cells": {"a": cell}})
    return ledger, arms


def typed(capsys, ledger, words):
    with pytest.raises(SystemExit) as left:
        main([str(ledger.root) if word == "R" else word for word in words])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return left.value.code, printed


def gains(capsys, ledger):
    code, printed = typed(capsys, ledger, ("verdicts", "R", "--format", "json"))
    assert code == 0
    return {row["labels"]: (row["n"], row["gain"], row["low"]) for row in json.loads(printed.out)}


@pytest.mark.parametrize("words", VERBS, ids=lambda words: "-".join(words[:1] + words[2:]))
@pytest.mark.parametrize(
    "text", ["{", DEEP, '"\\ud800"', "[]"], ids=["cut", "deep", "half", "list"]
)
def test_a_broken_record_is_named_by_every_verb_and_the_rest_is_judged(words, text, study, capsys):
    ledger, arms = study
    before = gains(capsys, ledger)
    broken = arms[5][0]
    (ledger.folder(broken.id) / "record.json").write_text(text)
    code, printed = typed(capsys, ledger, words)
    assert code == 0
    assert broken.id in printed.err
    assert "transfergrid: warning: left out" in printed.err
    after = gains(capsys, ledger)
    assert after[20] == before[20]
    assert after[5][0] == before[5][0] - 1


@pytest.mark.parametrize("kind", ["grids", "looks"])
@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"cells": 5, "seeds": 5}', DEEP, "\xff"])
def test_a_broken_document_blocks_nothing_and_is_named(kind, text, study, capsys):
    ledger, _ = study
    before = gains(capsys, ledger)
    (ledger.root / kind).mkdir(exist_ok=True)
    (ledger.root / kind / "broken.json").write_bytes(text.encode("latin-1"))
    code, printed = typed(capsys, ledger, ("verdicts", "R"))
    assert code == 0
    assert f"{kind}/broken.json" in printed.err
    assert gains(capsys, ledger) == before


def test_a_record_in_another_cells_folder_is_named_and_counts_once(study, capsys):
    ledger, arms = study
    one, other = arms[5][:2]
    shutil.copy(ledger.folder(one.id) / "record.json", ledger.folder(other.id) / "record.json")
    code, printed = typed(capsys, ledger, ("list", "cells", "--results", "R"))
    assert (code, printed.out.count(one.id[:8])) == (0, 1)
    assert f"{other.id}: no record of this cell: it says that it is '{one.id}'" in printed.err


WRONG = {
    "nan": lambda said: said | {"probabilities": np.full((400, 2), np.nan, np.float32)},
    "above one": lambda said: said | {"probabilities": np.full((400, 2), 2.0, np.float32)},
    "no sum": lambda said: said | {"probabilities": np.full((400, 2), 0.1, np.float32)},
    "one axis": lambda said: said | {"probabilities": np.zeros(400, np.float32)},
    "fewer": lambda said: said | {"labels": said["labels"][:-1]},
    "classes": lambda said: said | {"labels": said["labels"] + 7},
    "texts": lambda said: said | {"labels": said["labels"].astype(str)},
    "none": lambda said: {"labels": said["labels"]},
    "empty": lambda said: {name: values[:0] for name, values in said.items()},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("words", [VERBS[0], VERBS[2]], ids=["verdicts", "table"])
def test_predictions_that_cannot_be_are_named_and_the_score_counts(wrong, words, study, capsys):
    ledger, arms = study
    before = gains(capsys, ledger)
    path = ledger.folder(arms[5][0].id) / "predictions.npz"
    with np.load(path) as kept:
        np.savez(path, **wrong(dict(kept)))
    code, printed = typed(capsys, ledger, words)
    assert code == 0
    assert str(path) in printed.err
    after = gains(capsys, ledger)
    assert after[20] == before[20]
    assert after[5][:2] == pytest.approx(before[5][:2])


def test_an_index_does_not_hide_what_is_damaged(study, capsys):
    ledger, arms = study
    path = ledger.folder(arms[5][0].id) / "predictions.npz"
    path.write_bytes(b"no archive")
    ledger.compact()
    for _ in range(2):
        assert str(path) in typed(capsys, ledger, ("verdicts", "R"))[1].err


COLUMNS = [
    *(("score", "x"), ("score", 1e308), ("score", float("nan")), ("score", 1.5), ("seed", "0")),
    *(("labels", "many"), ("labels", None), ("exploratory", "{"), ("contaminated_by", "[1]")),
    *(("items_n", 7), ("items_n", -1), ("finished", "soon"), ("strategy", None), ("collapsed", 2)),
]


@pytest.mark.parametrize(("name", "value"), COLUMNS)
def test_an_index_that_holds_what_no_record_could_is_named_and_records_count(
    name, value, study, capsys
):
    ledger, _ = study
    before = gains(capsys, ledger)
    segment = ledger.compact()
    table = pyarrow.parquet.read_table(segment)
    column = pyarrow.array([value] * len(table))
    if value is None or isinstance(value, (bytes, float)) or name in ("labels", "items_n"):
        column = column.cast(table.schema.field(name).type)
    place = table.column_names.index(name)
    pyarrow.parquet.write_table(table.set_column(place, name, column), segment)
    code, printed = typed(capsys, ledger, ("verdicts", "R"))
    assert code == 0
    assert segment.name in printed.err
    assert name in printed.err
    assert gains(capsys, ledger) == before


def test_links_to_themselves_and_folders_for_files_block_nothing(study, capsys):
    ledger, arms = study
    before = gains(capsys, ledger)
    for place in (ledger.root / "cells" / "zz", ledger.root / "cells" / "0f", ledger.root / "tmp2"):
        if not place.exists():
            place.symlink_to(place.name)
    (ledger.root / "grids" / "folder.json").mkdir()
    link = ledger.root / "looks" / "loop.json"
    link.symlink_to(link.name)
    broken = ledger.folder(arms[20][1].id) / "record.json"
    broken.unlink()
    broken.symlink_to("record.json")
    code, printed = typed(capsys, ledger, ("table", "R"))
    assert code == 0
    for name in ("grids/folder.json", arms[20][1].id):
        assert name in printed.err
    code, printed = typed(capsys, ledger, ("verdicts", "R"))
    assert "looks/loop.json" in printed.err
    assert gains(capsys, ledger)[5] == before[5]


@pytest.mark.parametrize("name", ["²", "-1", "99999999999999", "x", "1"])
def test_attempts_of_any_name_and_content_block_nothing(name, study, capsys):
    ledger, _ = study
    before = gains(capsys, ledger)
    folder = ledger.root / "attempts" / identity("failed") / name
    folder.mkdir(parents=True)
    (folder / "record.json").write_text("[]")
    code, printed = typed(capsys, ledger, ("verdicts", "R"))
    assert code == 0
    assert ("record.json" in printed.err) == (name == "1")
    assert gains(capsys, ledger) == before


def test_of_many_the_first_are_named_and_the_others_counted(study, capsys):
    ledger, _ = study
    (ledger.root / "grids").mkdir(exist_ok=True)
    for number in range(MOST_NAMED + 5):
        (ledger.root / "grids" / f"{number:03}.json").write_text("[]")
    _, printed = typed(capsys, ledger, ("verdicts", "R"))
    lines = [line for line in printed.err.splitlines() if line.startswith("transfergrid: warning")]
    assert len(lines) == MOST_NAMED + 1
    assert lines[-1] == "transfergrid: warning: and 5 more like these"


def test_what_is_left_out_is_named_too_where_nothing_is_left(study, capsys):
    ledger, _ = study
    shutil.rmtree(ledger.root / "attempts", ignore_errors=True)
    for path in ledger.root.glob("cells/*/*/record.json"):
        path.write_text("{")
        os.utime(path.parent)
    code, printed = typed(capsys, ledger, ("report", "R", "-o", str(ledger.root / "x.html")))
    assert code == 2
    assert "left out" in printed.err
    assert "nothing in" in printed.err
