"""A record survives the way to disk and back, and every key of it is explained."""

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_factory import made
from transfergrid.records.cell import Reference
from transfergrid.records.errors import BadInputError
from transfergrid.records.record import (
    SCHEMA,
    Budget,
    Chosen,
    Data,
    Flags,
    Scores,
    documented_keys,
    from_json,
    reference,
)

TEXT = st.text(max_size=8)
SCORES = st.none() | st.dictionaries(TEXT, st.none() | st.floats(0, 1), max_size=3)


@settings(deadline=None)  # the first one waits for the reader
@given(
    reason=st.none() | TEXT,
    labels=st.integers(0, 10**6) | st.just("all"),
    scores=st.builds(Scores, train=SCORES, validation=SCORES, test=SCORES),
    flags=st.builds(Flags, collapsed=st.booleans(), underfit=st.booleans()),
    chosen=st.none() | st.builds(Chosen, step=st.integers(0), by=st.just("validation")),
    budget=st.builds(Budget, steps=st.integers(0), source_batches=st.integers(0)),
    data=st.builds(
        Data,
        classes=st.lists(TEXT).map(tuple),
        per_class=st.dictionaries(TEXT, st.integers(0)),
        short=st.dictionaries(TEXT, st.tuples(st.integers(0), st.integers(0))),
    ),
    exploratory=st.lists(st.builds(Reference, name=TEXT, id=TEXT), max_size=2).map(tuple),
)
def test_json_gives_back_the_record(labels, **fields):
    record = made(labels=labels, **fields)
    assert from_json(record.to_json()) == record


def test_a_record_in_which_optimiser_steps_were_not_counted_is_read():
    values = json.loads(made(budget=Budget(steps=7, optimiser_steps=42)).to_json())
    assert values["budget"].pop("optimiser_steps") == 42
    assert from_json(json.dumps(values)).budget == Budget(steps=7)


def test_json_is_strict_so_that_any_reader_takes_it():
    record = made(score=math.nan)
    values = json.loads(record.to_json(), parse_constant=pytest.fail)
    assert values["scores"]["test"] == {"accuracy": None}
    assert from_json(record.to_json()).score is None


def test_numpy_scalars_are_written_as_numbers():
    import numpy as np

    record = made(score=np.float32(0.5), seconds=np.float64(2))
    assert from_json(record.to_json()).score == 0.5


def test_keys_of_a_later_minor_version_are_tolerated():
    values = json.loads(made().to_json())
    values["later"] = 1
    values["cost"]["seconds"]["later"] = 1
    assert from_json(json.dumps(values)) == made()


def test_a_newer_schema_is_refused_with_its_number():
    values = json.loads(made().to_json()) | {"schema": SCHEMA + 1}
    with pytest.raises(BadInputError, match=f"newer schema than {SCHEMA}.*upgrade"):
        from_json(json.dumps(values))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": "0"}, "seed: Input should be a valid integer"),
        ({"seed": True}, "seed: Input should be a valid integer"),
        ({"labels": "some"}, "labels.*: Input should be .*"),
        ({"status": "finished"}, "status: Input should be .*'done'"),
        (
            {"cost": {"seconds": {"total": "1 s"}}},
            "cost.seconds.total: Input should be a valid number",
        ),
        ({"data": {"short": {"a": [1]}}}, "data.short.a.1: Field required"),
        ({"names": {"target": "digits"}}, "names.strategy: Field required"),
        ({"baseline": {"name": "scratch"}}, "baseline.id: Field required"),
    ],
)
def test_a_wrong_value_is_named_by_its_key(change, told):
    values = json.loads(made().to_json()) | change
    with pytest.raises(BadInputError, match=told):
        from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", '{"id": "ab', "[]", "3", b"\xff\xfe", '{"schema": 1}'])
def test_what_is_no_record_is_told_in_one_line(text):
    with pytest.raises(BadInputError) as caught:
        from_json(text)
    assert "\n" not in str(caught.value)


def test_every_key_is_explained_and_nested_ones_by_their_path():
    keys = {key: doc for key, _, doc in documented_keys()}
    assert [key for key, doc in keys.items() if not doc] == []
    assert {"cost.seconds.source", "baseline.id", "exploratory.id", "chosen.by"} <= keys.keys()


def test_reference_lists_every_key_of_a_written_record_and_of_the_arrays():
    told = reference()
    for key in json.loads(made().to_json()):
        assert f"| `{key}` |" in told
    assert "`validation_score`" in told
    assert "`probabilities`" in told


def test_reading_and_reporting_import_neither_torch_nor_lightning():
    code = (
        "import sys, transfergrid.records.ledgers.ledger, transfergrid.records.ledgers.index\n"
        "import transfergrid.evidence.measured.measuring as measuring,"
        "transfergrid.report.views.table as table,"
        "transfergrid.report.tables.sheet as sheet\n"
        "import pyarrow.parquet, scipy.stats\n"
        "sheet.render(table.sheet(measuring.measure([])))\n"
        "bad = {'torch', 'pytorch_lightning', 'lightning', 'hydra', 'wandb'} & set(sys.modules)\n"
        "sys.exit(str(sorted(bad)) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
