"""The verb `curves` reads a ledger."""

import json
import subprocess
import sys

import pytest

from curve_records import study
from transfergrid.evidence.declared.looks import looks
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.verbs.curves import command


@pytest.fixture
def results(tmp_path):
    records, kept = study()
    ledger = Ledger(tmp_path)
    for record in records:
        ledger.write(record, kept[record.id])
    return str(tmp_path)


def test_it_shows_the_curves_of_a_ledger(results, capsys):
    assert command([results, "--format", "json", "--threshold", "91"]) == 0
    (curve,) = json.loads(capsys.readouterr().out)
    assert (curve["threshold"], curve["threshold_given"]) == (91, True)


def test_curves_over_labels_are_a_look_and_those_over_steps_are_none(results, capsys):
    command([results, "--against", "steps"])
    assert looks(Ledger(results)) == []
    command([results])
    (look,) = looks(Ledger(results))
    assert look.by == "curves"
    assert len(look.seeds) == 2  # a family a budget


def test_cells_without_recorded_curves_have_none_over_steps(results, capsys):
    assert command([results, "--against", "steps"]) == 0
    assert "2 arms without a curve" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--against", "time"], ["--exchange", "-1"], ["--format", "x"]])
def test_what_makes_no_sense_is_bad_input(results, words):
    with pytest.raises(BadInputError):
        command([results, *words])


def test_from_python_curves_need_no_verb_and_no_training_code(results):
    """The verbs stand on top: what Python offers does not reach up to a command line."""
    code = (
        "import sys, transfergrid.api as api\n"
        f"(curve,), none = api.curves({results!r})\n"
        "assert curve.source and not none\n"
        "print(sorted({'torch', 'hydra', 'transfergrid.verbs.curves'} "
        "& set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert [look.by for look in looks(Ledger(results))] == ["api"]
