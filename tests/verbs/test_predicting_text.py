"""A kept text model away from its source's folder and its table says what its cell recorded."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from composed import planned
from kept_cells import CPU
from ledger_factory import made as record_made
from small_models import pretrained
from transfergrid.data.huggingface import HuggingFaceText
from transfergrid.data.opened import OpenDomain
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import build, config_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Data
from transfergrid.runs.cell import run_cell
from transfergrid.sources.transformers import TransformersArchitecture
from transfergrid.strategies.beside.refine import Refine
from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.verbs import predicting
from transfergrid.verbs.exporting import export, exported_config, inputs_of

WORDS = ["the", "cat", "sat", "on", "a", "mat", "quietly", "why", "is", "sky", "blue", "fine"]


def sentences(file, n=60, pairs=False):
    """Write sentences whose class is told by a word; the last ones are long."""
    rng = np.random.default_rng(0)
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["review", "other", "verdict", "split"])
        for i in range(n):
            length = rng.integers(2, 20) if i < n - 4 else 60
            words = [*rng.choice(WORDS, length), ("film", "dog")[i % 2]]
            split = "test" if i % 3 == 0 else "train"
            writer.writerow([f"{i} {' '.join(words)}", " ".join(words[:3]), "ab"[i % 2], split])


def run(folder, ledger, strategy, *overrides):
    sentences(folder / "table.csv")
    source = [f"source.folder={folder / 'bert'}"] if strategy != "logistic_regression" else []
    plan = planned(
        *(["source=transformers", *source, "training.steps=3"] if source else []),
        *("target=text_table", f"target.file={folder / 'table.csv'}", "target.text=review"),
        *("target.label=verdict", "target.split_column=split", f"strategy={strategy}"),
        *("labels=10", *overrides),
    )
    (cell,) = [c for c in plan.cells if c.id in plan.wanted]
    return run_cell(cell, ledger, CPU, keep="all")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Records and exported folders by strategy, the recorded texts, and no source any more."""
    folder = tmp_path_factory.mktemp("texts")
    pretrained(folder, "bert")
    ledger, found = Ledger(folder / "results"), {}
    for strategy in ("full_finetuning", "logistic_regression"):
        record = run(folder, ledger, strategy)
        export(ledger, record.id, folder / "first" / strategy)
        found[strategy] = record
    test = OpenDomain(record.config["target"]).examples("test")
    texts = test.read(np.arange(len(test)))
    shutil.move(folder / "first", folder / "moved")
    shutil.rmtree(folder / "bert")
    (folder / "table.csv").unlink()
    return folder / "moved", ledger, found, texts


@pytest.mark.parametrize("strategy", ["full_finetuning", "logistic_regression"])
@pytest.mark.parametrize("kind", ["txt", "csv"])
def test_predictions_equal_the_recorded_ones(made, tmp_path, strategy, kind):
    folder, ledger, records, texts = made
    file = tmp_path / f"new.{kind}"
    with file.open("w", newline="") as stream:
        if kind == "csv":
            csv.writer(stream).writerows([["n", "review"], *enumerate(texts)])
        else:
            stream.writelines(f"{text}\n" for text in texts)
    out = tmp_path / "out.csv"
    assert predicting.command([str(folder / strategy), str(file), "-o", str(out)]) == 0
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["text"] for row in rows] == texts
    said = np.array([[float(row["p_a"]), float(row["p_b"])] for row in rows])
    recorded = ledger.predictions(records[strategy].id).probabilities
    np.testing.assert_allclose(said, recorded, atol=1e-6)


def test_an_exported_model_says_how_its_table_was_read(made):
    config = json.loads((made[0] / "full_finetuning" / "config.json").read_text())
    assert config["inputs"] == {
        "modality": "text",
        "text": "review",
        "pair": None,
        "encoding": "utf-8",
        "delimiter": None,
    }


@pytest.mark.parametrize(
    ("notes", "column"), [({"columns": ["sentence"]}, "sentence"), ({}, "text")]
)
def test_a_column_that_was_found_by_itself_is_remembered(notes, column):
    target = config_of(HuggingFaceText(dataset="stanfordnlp/sst2"))
    record = replace(record_made(), config={"target": target}, data=Data(notes=notes))
    assert inputs_of(record)["text"] == column


def test_nothing_of_an_exported_model_says_where_it_was_made(made):
    folder = made[0]
    for file in (folder / "full_finetuning").rglob("*.json"):
        assert str(folder.parent) not in file.read_text(), file.name
    assert (folder / "full_finetuning" / "architecture" / "tokenizer.json").is_file()
    assert not list(folder.rglob("pytorch_model.bin"))


@pytest.mark.parametrize("within", [(), ("teacher",)], ids=["its own", "its teacher's"])
def test_an_architecture_in_the_strategy_comes_along(made, tmp_path, within):
    encoder = TransformersArchitecture(folder=str(pretrained(tmp_path, "bert")))
    strategy = Distillation(Refine(encoder)) if within else Refine(encoder)
    record, parts = made[2]["full_finetuning"], {"source": None, "strategy": config_of(strategy)}
    out = tmp_path / "out"
    config = exported_config(replace(record, config={**record.config, **parts}), out)
    assert str(tmp_path) not in json.dumps(config)
    for name, held in {"config": config, "classes": ["a", "b"]}.items():
        (out / f"{name}.json").write_text(json.dumps(held))
    (out / "model.safetensors").touch()
    shutil.rmtree(encoder.folder)
    told = predicting.exported(out.rename(tmp_path / "there"))["strategy"]
    for key in within:
        told = told[key]
    assert told["encoder"]["folder"] == str(
        Path(tmp_path, "there/architecture", *within, "encoder")
    )
    assert build(told).encoder.build().dim == 16


def test_a_tokenizer_of_a_folder_is_in_the_model_and_its_place_is_not_told(tmp_path):
    pretrained(tmp_path, "bert")
    shutil.copytree(tmp_path / "bert", tmp_path / "tokens")
    ledger = Ledger(tmp_path / "results")
    record = run(tmp_path, ledger, "network_surgery", f"strategy.tokenizer={tmp_path / 'tokens'}")
    export(ledger, record.id, tmp_path / "model")
    shutil.rmtree(tmp_path / "tokens")
    assert str(tmp_path) not in (tmp_path / "model" / "config.json").read_text()
    (tmp_path / "new.txt").write_text("a fine film\n")
    out = tmp_path / "out.csv"
    arguments = [str(tmp_path / "model"), str(tmp_path / "new.txt"), "-o", str(out)]
    assert predicting.command(arguments) == 0
    assert out.read_text().count("\n") == 2


def test_in_the_ledger_a_model_needs_its_sources_folder(made, tmp_path):
    _, ledger, records, _ = made
    (tmp_path / "new.txt").write_text("a fine film\n")
    arguments = [records["full_finetuning"].id, str(tmp_path / "new.txt")]
    with pytest.raises(BadInputError, match="bert"):
        predicting.command([*arguments, "--results", str(ledger.root)])
