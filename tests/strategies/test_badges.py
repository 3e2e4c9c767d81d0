"""A badge stands for a test: what strategies declare is what marks in the tests say is proven."""

import ast
from pathlib import Path

import pytest
import yaml

from transfergrid.records.shipped import conf_dir

TESTS = Path(__file__).parents[1]


def marks_in(text):
    """Return the badges and strategies of all `pytest.mark.proves` in a source text."""
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return {
        tuple(ast.literal_eval(argument) for argument in call.args)
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "proves"
    }


def declared():
    """Return the badges that the strategies' YAMLs declare, each with the strategy's name."""
    files = {path.stem: path.read_text() for path in (conf_dir() / "strategy").glob("*.yaml")}
    about = {name: yaml.safe_load(text)["about"] for name, text in files.items()}
    return {(badge, name) for name, told in about.items() for badge in told.get("badges", [])}


def test_marks_are_found_wherever_they_stand():
    text = (
        "@pytest.mark.proves('formula_exact', 'l2_sp')\ndef test_it(): ...\n"
        "ROWS = [pytest.param(1, marks=pytest.mark.proves('trajectory_exact', 'sam'))]"
    )
    assert marks_in(text) == {("formula_exact", "l2_sp"), ("trajectory_exact", "sam")}


def test_each_badge_has_a_test_that_proves_it_and_each_proof_its_badge():
    proven = set().union(*(marks_in(path.read_text()) for path in TESTS.rglob("test_*.py")))
    assert declared() == proven


@pytest.mark.parametrize("name", sorted(path.stem for path in (conf_dir() / "strategy").glob("*")))
def test_whatever_learns_by_gradients_is_held_against_a_loop(name):
    """Its needs say whether it takes steps; closed forms show their formula instead."""
    told = yaml.safe_load((conf_dir() / "strategy" / f"{name}.yaml").read_text())["about"]
    steps = told["needs"].get("steps", True)
    assert ("trajectory_exact" if steps else "formula_exact") in told.get("badges", [])
