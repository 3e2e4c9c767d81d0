"""Values that were computed independently of this code; tests skip where they are not there."""

import json
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "shared" / "science" / "golden_strategies.json"


def golden(strategy, case):
    """Return inputs, expected values and the tolerance of a case."""
    if not FILE.is_file():
        pytest.skip("no golden values here")
    found = json.loads(FILE.read_text())[strategy][case]
    return found["inputs"], found["expected"], found["tolerance"]


def golden_number(key):
    """Return one of the values that are kept by name."""
    file = FILE.with_name("golden.json")
    if not file.is_file():
        pytest.skip("no golden values here")
    return json.loads(file.read_text())[key]


def golden_stats(key):
    """Return one of the values of the statistics that are kept by name."""
    file = FILE.with_name("golden_stats.json")
    if not file.is_file():
        pytest.skip("no golden values here")
    return json.loads(file.read_text())[key]
