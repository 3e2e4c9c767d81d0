"""The verb `rank`, from typed words to the table."""

import csv
import io
import json

import pytest
import timm
import torch
from safetensors.torch import save_file

from ledger_factory import made
from transfergrid.evidence.chosen.ranking import ranked
from transfergrid.records.cell import Names, Parts
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.ledgers.scores import Kept, Value, read_all
from transfergrid.report.planning.ranking_table import sheet
from transfergrid.report.tables.sheet import render
from transfergrid.runs.scores import features
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.tiny import TinyDomain, TinySource
from transfergrid.verbs.ranking import command


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(seed)
        model = timm.create_model("test_resnet", num_classes=12, in_chans=1)
        save_file(model.state_dict(), folder / f"{name}.safetensors")
    return [str(folder / f"{name}.safetensors") for name in ("first", "second")]


@pytest.fixture
def typed(files, tmp_path):
    """Words that ask for two sources of one architecture."""
    return [
        "target=digits",
        "source=timm",
        "source.model=test_resnet",
        f"source.file={','.join(files)}",
        "source.architecture.size=16",
        "source.architecture.options={in_chans: 1}",
        "labels=3",
        f"results={tmp_path}",
        "trainer.accelerator=cpu",
    ]


def test_sources_are_ranked_and_a_second_call_reads(typed, tmp_path, capsys, monkeypatch):
    assert command([*typed, "seed=0,1", "score=knn,proxy_a_distance", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    knn = [row for row in rows if row["score"] == "knn"]
    assert [row["rank"] for row in knn] in ([1.0, 2.0], [1.5, 1.5])
    assert knn[0]["value"] >= knn[1]["value"]
    assert {row["seeds"] for row in knn} == {2}
    assert {row["reason"] for row in rows if row["score"] == "proxy_a_distance"} == {
        "the source domain is not at hand"
    }
    assert len(read_all(Ledger(tmp_path))) == 4
    monkeypatch.setattr(features.FeaturePasses, "of", None)
    assert command([*typed, "seed=0,1", "score=knn,proxy_a_distance", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows


def test_the_table_fits_eighty_columns_and_says_that_it_forecasts(typed, capsys):
    command([*typed, "score=knn,logme,gbc,parc"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "digits · 3 labels a class · 1 seed · forecasts, best first by knn"
    assert any("nothing was trained on the target" in line for line in lines)


def test_knn_stands_beside_the_score_that_was_asked_for(typed, capsys):
    command([*typed, "score=logme", "--format", "csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(dict.fromkeys(row["score"] for row in rows)) == ["knn", "logme"]
    logme = [float(row["value"]) for row in rows if row["score"] == "logme"]
    assert logme[0] > logme[1]  # in the order of the score that was asked for


def test_a_scores_arguments_are_typed_as_others_are(typed, capsys):
    command([*typed, "score=knn", "score.k=1,3", "--format", "json"])
    rows = json.loads(capsys.readouterr().out)
    assert {row["score"] for row in rows} == {"knn", "knn(k=1)", "knn(k=3)"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["target=digits"], "rank also needs source="),
        (["source=glyph_digits"], "rank also needs target="),
        (["target=digits", "source=glyph_digits", "strategy=scratch"], "key of rank 'strategy'"),
        (["target=digits", "source=placebo", "score=knm"], "did you mean knn"),
        (["target=digits", "source=glyph_digits", "score=knn", "score.q=1"], "no key score.q"),
        (["target=digits", "source=glyph_digits", "score.k=1"], "say too which score"),
        (["target=digitz", "source=glyph_digits", "score=knn"], "did you mean digits"),
        (["target=digits", "source=glyph_digits", "--format", "pdf"], "unknown format"),
        (["--results", "nowhere"], "no results in 'nowhere'"),
        (["target=digits", "source=glyph_digits", "--where", "labels=2"], "is for done cells"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(words, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError, match=told) as caught:
        command(words)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "results").exists()


def test_texts_are_not_ranked_for_a_source_of_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text("text,label\n" + "good,1\nbad,0\n" * 20)
    words = ["target=text_table", "target.file=reviews.csv", "source=glyph_digits"]
    with pytest.raises(BadInputError, match="glyph_digits takes images"):
        command([*words, "target.text=text", "target.label=label", "target.test_split=0.2"])


def test_without_overrides_the_done_cells_say_what_to_score(tmp_path, capsys):
    ledger = Ledger(tmp_path)
    config = {
        "source": config_of(TinySource()),
        "target": config_of(TinyDomain()),
        "strategy": config_of(FullFinetuning()),
        "training": None,
    }
    for source, labels, seed in (("tiny", 5, 0), ("tiny", 5, 1), ("tiny", 2, 0), (None, 5, 0)):
        record = made("full_finetuning", source, labels, seed, target="shapes")
        ledger.write(
            made(
                "full_finetuning",
                source,
                labels,
                seed,
                names=Names(strategy="full_finetuning", target="shapes", source=source),
                parts=Parts(strategy="s", target="t", source=record.parts.source),
                config={**config, "labels": labels, "seed": seed},
            )
        )
    assert command(["--results", str(tmp_path), "score=knn", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    found = {
        (row["source"], row["target"], row["labels"], row["seeds"])
        for row in rows
        if row["score"] == "knn"
    }
    assert found == {("tiny", "shapes", 5, 2), ("tiny", "shapes", 2, 1)}
    words = ["--results", str(tmp_path), "score=knn", "--format", "json", "--where", "labels=2"]
    assert command(words) == 0
    assert {row["labels"] for row in json.loads(capsys.readouterr().out)} == {2}


# Ranks and the table ----------------------------------------------------------------------------


def kept(source, values, seed=0, labels=5, part=None):
    return Kept(
        id=f"{source}{seed}{part}",
        source_parts=(part or f"part {source}",),
        target_part="t",
        source=source,
        target="digits",
        labels=labels,
        seed=seed,
        notes={},
        values=values,
        names={name: name for name in values},
        seconds=0.0,
    )


def test_a_budget_of_numbers_is_told_in_total():
    values = {"logme": Value(value=0.5)}
    blocks = [kept("a", values, labels=50)]
    assert "50 labels a class" in render(sheet(ranked(blocks, ["logme"], "logme"), "logme"))
    blocks[0].notes["labels_are"] = "total"
    assert "50 labels in total" in render(sheet(ranked(blocks, ["logme"], "logme"), "logme"))


def test_a_score_without_a_value_orders_nothing():
    block = kept("a", {"knn": Value(value=0.5), "leep": Value(value=None, reason="of classes")})
    title = render(sheet(ranked([block], ["knn", "leep"], "leep"), "leep")).splitlines()[0]
    assert title.endswith("1 seed · forecasts")


def test_ranks_are_of_means_over_seeds_and_low_is_good_where_it_is():
    far = {"a": 1.0, "b": 0.2, "c": 0.2}
    blocks = [
        kept(
            s,
            {"knn": Value(value=v + seed / 10), "far": Value(value=far[s], higher_is_better=False)},
            seed,
        )
        for s, v in (("a", 0.9), ("b", 0.5), ("c", 0.7))
        for seed in (0, 1)
    ]
    rows = {(row.source, row.score): row for row in ranked(blocks, ["knn", "far"], "knn")}
    assert [row.source for row in rows.values()][::2] == ["a", "c", "b"]
    assert rows["a", "knn"].value == pytest.approx(0.95)
    assert [rows[s, "far"].rank for s in "abc"] == [3.0, 1.5, 1.5]
    text = render(sheet(list(rows.values())))
    assert "far (low)" in text
    assert "0.200 1=" in text


def test_undefined_and_impossible_values_are_shown_and_explained():
    wild = Value(value=117.0, high=46.0, out_of_bounds=True, remarks=("saturated",))
    none = Value(value=None, reason="a placebo has no classes of its own")
    rows = ranked(
        [
            kept("a", {"knn": Value(value=0.9), "h": wild, "leep": Value(value=-0.2)}),
            kept("p", {"knn": Value(value=0.1), "h": Value(value=2.0), "leep": none}),
        ],
        ["knn", "h", "leep"],
        "knn",
    )
    text = render(sheet(rows))
    assert "117.0!" in text
    assert "!: outside what its definition allows" in text
    assert "– leep of p: a placebo has no classes of its own." in text
    assert "h: saturated." in text
    assert rows[-1].rank is None
    assert rows[2].of == 1


def test_two_sources_of_one_name_stay_two():
    blocks = [kept("a", {"knn": Value(value=v)}, part=p) for v, p in ((0.9, "1234"), (0.1, "9876"))]
    assert {row.source for row in ranked(blocks, ["knn"], "knn")} == {"a 1234", "a 9876"}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_many_scores_and_long_names_fit(width):
    blocks = [
        kept(
            f"a_source_with_quite_a_long_name_{i}",
            {f"score_{j}": Value(value=i - 5.0 * j) for j in range(9)}
            | {"knn": Value(value=float(i))},
        )
        for i in range(3)
    ]
    names = ["knn", *(f"score_{j}" for j in range(9))]
    lines = render(sheet(ranked(blocks, names, "knn")), width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.count("score_") for line in lines) == 9
    markdown = render(sheet(ranked(blocks, names, "knn")), format="markdown")
    assert markdown.count("| a_source") == 3


def test_a_score_of_classes_is_refused_where_labels_are_numbers(typed, tmp_path):
    words = ["target=glyph_angles", *typed[1:]]
    told = "leep is of classes, and glyph_angles holds numbers"
    with pytest.raises(BadInputError, match=told):
        command([*words, "score=logme,leep"])
    assert not read_all(Ledger(tmp_path))
