"""`--where` keeps the arms that are meant, with their baselines, and says what there is."""

import json
from dataclasses import replace

import pytest

from ledger_factory import made, measured
from transfergrid.evidence.measured.results import results_from
from transfergrid.evidence.measured.selecting import Where, selected
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.records.cell import Reference
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Flags, Metric
from transfergrid.verbs.listing import command as list_command
from transfergrid.verbs.table import command as table_command


def grid():
    cells = []
    for labels in (2, 20, "all"):
        for seed in range(4):
            scratch = made(labels=labels, seed=seed, score=0.8 + seed / 100)
            cells.append(scratch)
            cells += [
                made(strategy, source, labels, seed, 0.9 + seed**2 / 500, scratch)
                for source in ("glyphs", "placebo_glyphs")
                for strategy in ("full_finetuning", "layerwise_tuning", "lora")
            ]
    return cells


CELLS = grid()


def kept(text, cells=CELLS):
    return [cell for cell in cells if Where.parse(text).keeps(cell)]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", lambda c: True),
        ("target=digits", lambda c: True),
        ("labels=2,20", lambda c: c.labels in (2, 20)),
        ("labels=all", lambda c: c.labels == "all"),
        ("labels != all", lambda c: c.labels != "all"),
        ("labels>2", lambda c: c.labels in (20, "all")),
        ("labels<=20 seed<3", lambda c: c.labels != "all" and c.seed < 3),
        ("seed = 0, 3", lambda c: c.seed in (0, 3)),
        ("seed>=1 seed!=2", lambda c: c.seed in (1, 3)),
        ("strategy=*tuning", lambda c: c.names.strategy.endswith("tuning")),
        ("strategy!=*tuning,scratch", lambda c: c.names.strategy == "lora"),
        ("source!=placebo_*", lambda c: c.names.source in (None, "glyphs")),
        ("source=none", lambda c: c.names.source is None),
        ("source!=none", lambda c: c.names.source is not None),
        ("architecture==small_cnn", lambda c: True),
        ("collapsed=false metric=accuracy", lambda c: True),
    ],
)
def test_conditions_mean_what_they_say_of_records_and_of_results(text, holds):
    expected = [cell.id for cell in CELLS if holds(cell)]
    assert [cell.id for cell in kept(text)] == expected
    assert [cell.id for cell in kept(text, results_from(CELLS))] == expected


def test_flags_studies_trainings_and_metrics_can_be_asked_for():
    odd = replace(
        CELLS[0], flags=Flags(collapsed=True), study="mine", metric=Metric(name="macro_f1")
    )
    for text in ("collapsed=true", "study=mi?e", "metric=macro_f1", "study!=none"):
        assert kept(text, [odd, *CELLS[1:]]) == [odd]
    assert kept("underfit=true", [odd]) == []
    assert kept("training=none", [odd]) == [odd]


def test_a_baseline_that_is_not_meant_is_kept_for_its_arms_and_for_nothing_else():
    found = selected(CELLS, Where.parse("source=glyphs strategy=lora labels=20 seed<2"))
    assert [(c.names.strategy, c.labels, c.seed) for c in found] == [
        ("scratch", 20, 0),
        ("lora", 20, 0),
        ("scratch", 20, 1),
        ("lora", 20, 1),
    ]


def test_an_and_between_conditions_changes_nothing():
    for told in ("strategy=lora and labels=20", "strategy=lora AND labels = 20"):
        assert Where.parse(told) == Where.parse("strategy=lora labels=20")


def test_a_baseline_with_a_baseline_of_its_own_becomes_no_arm():
    scratch = [made(seed=seed) for seed in range(3)]
    plain = [made("full_finetuning", "glyphs", seed=i, baseline=s) for i, s in enumerate(scratch)]
    arms = [
        made("lora", "glyphs", seed=i, baseline=s, exploratory=(Reference(name="x", id=p.id),))
        for i, (s, p) in enumerate(zip(scratch, plain, strict=True))
    ]
    found = selected(results_from([*scratch, *plain, *arms]), Where.parse("strategy=lora"))
    assert len(found) == 9
    assert [v.strategy for v in judge(found)] == ["lora"]


def test_verdicts_and_rows_are_selected_too_whatever_digest_their_names_bear():
    verdicts = judge(results_from(CELLS))
    found = Where.parse("source=glyphs labels<20 strategy=l*").rows(verdicts)
    assert {(v.source, v.labels, v.strategy) for v in found} == {
        ("glyphs", 2, "layerwise_tuning"),
        ("glyphs", 2, "lora"),
    }
    told_apart = replace(found[0], source="glyphs#1a2b")
    assert Where.parse("source=glyphs").keeps(told_apart)
    assert not Where.parse("source=glyphs#ffff").keeps(told_apart)
    rows = Where.parse("strategy=lora").rows(measured(CELLS))
    assert {row.strategy for row in rows} == {"lora"}
    with pytest.raises(BadInputError, match="tells no seeds apart"):
        Where.parse("seed=1").rows(verdicts)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sorce=glyphs", "unknown key in --where 'sorce'; did you mean source?"),
        ("glyphs", "cannot read 'glyphs'; conditions look like target=digits"),
        ("target=", "target= lacks a value"),
        ("source<3", "only labels and seed are more or less"),
        ("seed<x", "< takes one number"),
        ("seed<1,2", "< takes one number"),
        ("collapsed=maybe", "unknown value of collapsed 'maybe'; there is false, true"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(text, said):
    with pytest.raises(BadInputError) as caught:
        Where.parse(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("target=digit", "there is no target 'digit'; did you mean digits? there is digits"),
        ("source=photos", "there is no source 'photos'; there is glyphs, placebo_glyphs, none"),
        ("labels=2,5", "there is no labels '5'; there is 2, 20, all"),
        ("seed>3", "there is no seed>3; there is 0, 1, 2, 3"),
        ("strategy!=foo*", "there is no strategy 'foo*'; there is full_finetuning"),
        ("source=none strategy=lora", "no one meets all"),
    ],
)
def test_a_value_that_nothing_has_names_those_there_are(text, said):
    with pytest.raises(BadInputError) as caught:
        selected(CELLS, Where.parse(text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_verbs_table_and_list_show_what_is_meant(tmp_path, capsys):
    ledger = Ledger(tmp_path)
    for cell in CELLS:
        ledger.write(cell)
    arguments = [str(tmp_path), "--where", "strategy=lora labels=20 source=glyphs"]
    assert table_command(arguments) == 0
    shown = capsys.readouterr().out
    assert shown.count("lora") == 1
    assert "gain over scratch" in shown
    assert "finetuning" not in shown
    where = ["--results", str(tmp_path), "--where", "strategy=lora seed=1 labels=2"]
    assert list_command(["cells", *where]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert list_command(["cells", *where, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"][:8] for row in rows] == [line.split()[0] for line in lines]
    assert {(row["strategy"], row["labels"], row["seed"], row["kept"]) for row in rows} == {
        ("lora", 2, 1, False)
    }
    with pytest.raises(BadInputError, match="there is no strategy 'lor'"):
        table_command([str(tmp_path), "--where", "strategy=lor"])
