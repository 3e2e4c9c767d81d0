"""A kept model of vectors away from its table says what its cell recorded."""

import csv
import json
import shutil

import numpy as np
import pytest

from composed import planned
from kept_cells import CPU
from transfergrid.data.opened import OpenDomain
from transfergrid.data.vectors import Scaling
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.cell import run_cell
from transfergrid.verbs import predicting
from transfergrid.verbs.exporting import export
from transfergrid.verbs.predicting import chunks_of, vector_of

pd = pytest.importorskip("pandas")
STRATEGIES = ("full_finetuning", "logistic_regression")


def table(file, n=90):
    """Write numbers of unlike scale, some of them missing, whose class one column tells."""
    rng = np.random.default_rng(0)
    values = pd.DataFrame(rng.normal([0, 500, -3], [1, 90, 0.1], (n, 3)), columns=list("abc"))
    values["b"] += 200 * (np.arange(n) % 2)
    values.iloc[rng.choice(n, 6, replace=False), 2] = np.nan
    told = values.assign(id=range(n), verdict=np.where(np.arange(n) % 2, "yes", "no"))
    told.assign(split=np.where(np.arange(n) % 3, "train", "test")).to_csv(file, index=False)


def run(folder, ledger, strategy):
    target = ("split_column=split", "label=verdict", "leave_out=[id]", "missing=median")
    own = (f"file={folder / 'table.csv'}", *target)
    plan = planned(
        *("source=mlp", "source.architecture.inputs=3", "source.training.steps=3"),
        *("target=vectors", *(f"target.{word}" for word in own)),
        *(f"source.domain.{word}" for word in own),
        *("training=vectors", "training.steps=3", f"strategy={strategy}", "labels=10"),
    )
    (cell,) = [c for c in plan.cells if c.id in plan.wanted]
    return run_cell(cell, ledger, CPU, keep="all")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Exported folders by strategy, a ledger, records and the test rows; the table is gone."""
    folder = tmp_path_factory.mktemp("vectors")
    table(folder / "table.csv")
    ledger, found = Ledger(folder / "results"), {}
    for strategy in STRATEGIES:
        found[strategy] = run(folder, ledger, strategy)
        export(ledger, found[strategy].id, folder / "first" / strategy)
    test = OpenDomain(found[strategy].config["target"]).examples("test")
    rows = pd.DataFrame(test.values, columns=["a", "b", "c"])
    shutil.move(folder / "first", folder / "moved")
    (folder / "table.csv").unlink()
    return folder / "moved", ledger, found, rows


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_predictions_equal_the_recorded_ones(made, tmp_path, strategy, kind):
    """Columns come in another order, and others with them."""
    folder, ledger, records, rows = made
    file, new = tmp_path / f"new.{kind}", rows[["c", "a", "b"]].assign(more=1.0)
    if kind == "npz":
        np.savez(file, **{name: values.to_numpy() for name, values in new.items()})
    else:
        new.to_csv(file, index=False) if kind == "csv" else new.to_parquet(file, index=False)
    out = tmp_path / "out.csv"
    assert predicting.command([str(folder / strategy), str(file), "-o", str(out)]) == 0
    with out.open(newline="") as stream:
        told = list(csv.DictReader(stream))
    assert [*told[0]] == ["file", "row", "label", "p_no", "p_yes"]
    assert int(told[0]["row"]) == (2 if kind == "csv" else 1)
    said = np.array([[float(row["p_no"]), float(row["p_yes"])] for row in told])
    recorded = ledger.predictions(records[strategy].id).probabilities
    np.testing.assert_allclose(said, recorded, atol=1e-6)


def test_in_the_ledger_a_model_predicts_alike(made, tmp_path):
    folder, ledger, records, rows = made
    rows.to_csv(tmp_path / "new.csv", index=False)
    outs = []
    for model in (records["full_finetuning"].id[:8], str(folder / "full_finetuning")):
        out = tmp_path / "out.csv"
        words = [model, str(tmp_path / "new.csv"), "-o", str(out), "--results", str(ledger.root)]
        assert predicting.command(words) == 0
        outs.append(out.read_text())
    assert outs[0] == outs[1]


def test_an_exported_model_says_its_columns_and_not_where_it_was_made(made):
    folder = made[0] / "full_finetuning"
    config = json.loads((folder / "config.json").read_text())
    assert config["inputs"] == {"modality": "vector", "encoding": "utf-8", "delimiter": None}
    assert json.loads((folder / "vector.json").read_text())["columns"] == ["a", "b", "c"]
    for file in folder.rglob("*.json"):
        assert str(made[0].parent) not in file.read_text(), file.name
    card = (folder / "README.md").read_text()
    assert "transfergrid predict . rows.csv" in card


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a,b\n1,2\n", "has no column 'c'.* which this model takes"),
        ("a,b,c\n1,x,3\n", "line 2, column 'b': 'x' is no number"),
        ("a,b,c\n", "has no rows"),
    ],
)
def test_what_is_no_such_vector_is_told(made, tmp_path, content, told):
    (tmp_path / "new.csv").write_text(content)
    with pytest.raises(BadInputError, match=told):
        predicting.command([str(made[0] / "full_finetuning"), str(tmp_path / "new.csv")])


def test_a_missing_number_is_refused_where_nothing_stands_for_it(tmp_path):
    (tmp_path / "new.csv").write_text("a,b\n1,\n3,4\n")
    files, inputs = [str(tmp_path / "new.csv")], {"modality": "vector"}
    filled = {**inputs, "vector": Scaling(("a", "b"), fill=(0.0, 7.0))}
    (chunk,) = chunks_of(filled, files)
    assert chunk.examples.read(np.arange(2)).tolist() == [[1, 7], [3, 4]]
    with pytest.raises(BadInputError, match="line 2, column 'b': a number is missing, and this"):
        next(chunks_of({**inputs, "vector": Scaling(("a", "b"))}, files))
    with pytest.raises(BadInputError, match=r"takes vectors, and vector.json, which says how, is"):
        chunks_of(inputs, files)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (({"text": "a"},), "--text and --pair are about tables of texts, and this model takes vec"),
        (({}, "photo.jpg"), "photo.jpg: this model takes vectors; give a table"),
        (({}, "nothing.csv"), "no such file: .*nothing.csv"),
    ],
)
def test_other_words_and_files_are_refused(tmp_path, typed, told):
    words, *names = typed
    (tmp_path / "photo.jpg").write_text("")
    inputs = {"modality": "vector", "vector": Scaling(("a",))}
    with pytest.raises(BadInputError, match=told):
        next(chunks_of(inputs, [str(tmp_path / name) for name in names], **words))


def test_columns_that_were_damaged_are_told(tmp_path):
    assert vector_of(tmp_path) == {}
    (tmp_path / "vector.json").write_text('{"columns": ["a"]}')
    with pytest.raises(BadInputError, match=r"vector.json cannot be used: these are no columns"):
        vector_of(tmp_path)
