"""Nobody waits for help, or for the answer to a slip: what only computing needs is not imported."""

import re
import subprocess
import sys

import pytest

HEAVY = {"numpy", "polars", "pandas", "pyarrow", "scipy", "torch", "jinja2", "rich", "wandb"}
READING = {"pydantic", "pydantic_core"}


def start(words, folder):
    """Return what a command says, and the libraries that it imports."""
    command = [sys.executable, "-X", "importtime", "-m", "transfergrid", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    imported = re.findall(r"^import time:.*\| +(\w+)$", done.stderr, re.M)
    assert {"hydra", "argparse"} & {*imported}, "the list of imports can be read"
    return done.stdout + done.stderr.rpartition("import time:")[2], {*imported}


@pytest.mark.parametrize(
    ("words", "said", "absent"),
    [
        (["--help"], "strategy", HEAVY | READING),
        (["strategy=skratch"], "did you mean scratch?", HEAVY | READING),
        (["strategy.lr_factor=abc"], "lr_factor must be a number", HEAVY),
    ],
)
def test_help_and_an_early_refusal_import_nothing_heavy(words, said, absent, tmp_path):
    told, imported = start(words, tmp_path)
    assert said in told
    assert not imported & absent


@pytest.mark.parametrize("verb", ["status", "table"])
def test_a_verb_that_reads_results_does_not_import_what_composes_and_trains(verb, tmp_path):
    told, imported = start([verb, "nowhere"], tmp_path)
    assert "no results in 'nowhere'" in told
    assert not imported & {"hydra", "omegaconf", "antlr4", "torch", "pandas"}
