"""What the README shows works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def block(language, containing):
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    (found,) = [text for text in blocks if containing in text]
    return found


def run(words, folder):
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_from_python(tmp_path):
    (tmp_path / "example.py").write_text(block("python", "from transfergrid.api import run"))
    printed = run([sys.executable, "example.py"], tmp_path)
    assert "accuracy" in printed
    assert "name='scratch'" in printed


@pytest.fixture(scope="module")
def own_strategy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_strategies.py").write_text(block("python", "class SmoothedFinetuning"))
    (folder / "my_conf" / "strategy").mkdir(parents=True)
    (folder / "my_conf" / "strategy" / "smoothed.yaml").write_text(block("yaml", "smoothing: 0.1"))
    return folder


def test_own_strategy_runs_in_a_grid(own_strategy):
    command = block("bash", "--config-dir my_conf").split()
    assert command.pop(0) == "transfergrid"
    short = ["training.steps=5", "source.training.steps=5", "references=[]"]
    printed = run([sys.executable, "-m", "transfergrid.cli", *command, *short], own_strategy)
    assert re.search(r"glyph\S+\s+smoothed\s", printed)
    assert re.search(r"gain over scratch", printed)


def test_own_strategy_passes_the_conformance_suite(own_strategy):
    code = (
        "from pathlib import Path\n"
        "from my_strategies import SmoothedFinetuning\n"
        "from transfergrid.testing import check_strategy\n"
        "check_strategy(SmoothedFinetuning, Path('my_conf/strategy/smoothed.yaml'))\n"
    )
    run([sys.executable, "-c", code], own_strategy)


def test_every_command_names_what_exists():
    """Options in the README's commands are options that are shipped."""
    shown = re.findall(r"\b(source|strategy|target|study|tracking)=([\w,]+)", README)
    conf = Path(__file__).parents[1] / "conf"
    own = {"smoothed"}
    names = {(group, name) for group, value in shown for name in value.split(",")}
    missing = [pair for pair in names if pair[1] not in own]
    missing = [f"{g}={n}" for g, n in missing if not (conf / g / f"{n}.yaml").exists()]
    assert missing == []
