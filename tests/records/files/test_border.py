"""What is malformed is refused at the border, with the key that is wrong, and never used."""

import json

import pytest

from ledger_factory import made
from transfergrid.evidence.declared.declarations import Comparisons, read_grid
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.border import LARGEST, Reader, is_time, time_of
from transfergrid.records.metrics import SHARES
from transfergrid.records.record import from_json

DEEP = "[" * 200_000


def changed(path, value):
    """Return a record's JSON with raw text in place of the value at a dotted path."""
    record = json.loads(made("x", "s").to_json())
    record["config"] |= {"strategy": {"_target_": "a.B", "about": {}}, "source": {"a": 1}}
    *way, last = path.split(".")
    node = record
    for key in way:
        node = node.setdefault(key, {})
    node[last] = "HERE"
    return json.dumps(record).replace('"HERE"', value)


@pytest.mark.parametrize("raw", ["NaN", "Infinity", "1e999", "1e308", "-1e308", "1" + "0" * 400])
@pytest.mark.parametrize("path", ["cost.seconds.total", "scores.test.accuracy", "seed"])
def test_numbers_that_no_computation_takes_are_refused(path, raw):
    with pytest.raises(BadInputError, match=path):
        from_json(changed(path, raw))


def test_the_largest_number_is_the_first_that_no_float32_holds():
    read = Reader(list[float])
    assert read(f"[{LARGEST}, -{LARGEST}, 3.4028234e38]")[2] == 3.4028234e38
    for beyond in (LARGEST * 2, -LARGEST * 2):
        with pytest.raises(BadInputError):
            read(f"[{beyond}]")


@pytest.mark.parametrize(
    ("path", "raw", "told"),
    [
        ("scores.test.accuracy", "1.01", "accuracy must be from 0 to 1"),
        ("scores.test.ece", "-0.1", "ece must be from 0 to 1"),
        ("labels", "-1", "give 0, a whole number per class, or all"),
        ("seed", str(2**63), "seed"),
        ("data.train", "-3", "data.train"),
        ("finished", '"yesterday"', "no ISO 8601 time"),
        ("config.strategy", "[]", "strategy is no mapping"),
        ("config.target", '"digits"', "target is no mapping"),
        ("config.strategy._target_", "5", "strategy"),
        ("config.strategy.about", "[1]", "about"),
        ("config.strategy.about", '{"needs": 5}', "needs"),
        ("config.source", '{"domain": {"about": {"start": []}}}', "source.domain"),
        ("source", '{"steps": "many"}', "steps"),
        ("source", '{"card": []}', "card"),
        ("data.notes", '{"cut_texts": [1]}', "cut_texts"),
        ("data.notes", '{"duplicates": {"exact": -1}}', "exact"),
        ("names", "[]", "names"),
        ("flags", "null", "flags"),
    ],
)
def test_a_shape_that_nobody_can_read_is_refused_with_its_key(path, raw, told):
    with pytest.raises(BadInputError, match=told):
        from_json(changed(path, raw))


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 200_000, "", "null", "[]", b"\xff\xfe{", b"\x00"])
def test_what_is_no_document_is_told_in_a_line(text):
    for read in (from_json, read_grid):
        with pytest.raises(BadInputError) as caught:
            read(text if isinstance(text, bytes) else text.encode())
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


def test_what_nobody_reads_may_be_anything():
    record = json.loads(made("x", "s").to_json())
    record["config"]["more"] = [{"deep": [1, None, "x"]}]
    record["source"] = {"notes": [], "layers": "all"}
    assert from_json(json.dumps(record)).source == {"notes": [], "layers": "all"}


CELL = {"baseline": None, "exploratory": []}


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ({"cells": []}, "cells"),
        ({"cells": {"a": {"baseline": "scratch", "exploratory": []}}}, "cells.a.baseline"),
        ({"cells": {"a": {"baseline": {"name": "s"}, "exploratory": []}}}, "baseline.id"),
        ({"cells": {"a": {**CELL, "contaminated_by": 5}}}, "contaminated_by"),
        ({"cells": {"a": CELL}, "asked": 5}, "asked"),
        ({"cells": {"a": CELL}, "left_out": [[]]}, "left_out"),
        ({"cells": {"a": CELL}, "declaration": {"margin": "wide"}}, "margin"),
        ({"cells": {"a": CELL}, "declaration": {"margin": -1}}, "margin must be a number"),
        ({"cells": {"a": CELL}, "declaration": {"seeds": ["0"] * 2, "alpha": []}}, "alpha"),
        ({"cells": {"a": CELL}, "declaration": {"magin": 1}}, "did you mean margin"),
    ],
)
def test_a_grid_that_nobody_can_judge_by_is_refused_with_its_key(grid, told):
    with pytest.raises(BadInputError, match=told):
        read_grid(json.dumps(grid).encode())


def test_a_grid_as_it_is_kept_is_read_as_it_is():
    declaration = {"margin": 2, "seeds": [0, 1], "baselines": {"x": ["scratch", None]}}
    grid = {"id": "a", "cells": {"a": CELL}, "declaration": declaration}
    read = read_grid(json.dumps(grid).encode())
    assert read == {**grid, "cells": {"a": Comparisons(None, ())}}


def test_shares_are_the_metrics_that_lie_from_0_to_1():
    shares = {"accuracy", "balanced_accuracy", "macro_f1", "auroc", "ece", "nmi", "ari"}
    assert shares == SHARES


def test_a_time_without_a_zone_is_utc():
    assert time_of("2026-11-21T12:00:00") == time_of("2026-11-21T13:00:00+01:00")
    assert is_time(None) is None
