"""A cell run again for what it did not note: in full, and only if it is the same cell."""

import json
from dataclasses import replace

import pytest

from kept_cells import made
from transfergrid.records.errors import BadInputError
from transfergrid.records.record import Scores
from transfergrid.verbs.cli import main
from transfergrid.verbs.examining import examined


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    ledger, records = made(tmp_path_factory.mktemp("done"), "full_finetuning", keep=None)
    return ledger, records["full_finetuning"]


def explained(capsys, *words):
    with pytest.raises(SystemExit) as left:
        main(["explain", *map(str, words)])
    assert left.value.code == 0
    return capsys.readouterr().out


def test_a_cell_says_what_it_did_not_note_and_the_command_that_does(done, capsys):
    ledger, record = done
    assert record.diagnostics.extent == "short"
    text = " ".join(explained(capsys, record.id, "--results", ledger.root).split())
    assert "Noted in short: nothing of random weights" in text
    typed = text.partition("To run it again and look: transfergrid explain ")[2].split()
    assert typed == [record.id[:8], "--full", "--results", str(ledger.root)]
    before = sorted(ledger.root.rglob("*.json"))
    values = json.loads(explained(capsys, *typed, "--format", "json"))
    assert values["extent"] == "full"
    assert "Noted in short" not in explained(capsys, *typed)
    assert sorted(ledger.root.rglob("*.json")) == before
    assert ledger.read(record.id).diagnostics.extent == "short"


def test_notes_of_another_result_are_not_told_of_this_one(done, capsys):
    ledger, record = done
    other = replace(record, scores=Scores(test={"accuracy": 0.0}))
    with pytest.raises(BadInputError, match=r"run again it is another cell \(test acc"):
        examined(ledger, other)
