"""Strategies are listed with what they transfer and what is proven, and found by other names."""

import csv
import io
import json
import re

import pytest
import yaml

from transfergrid.records.errors import BadInputError, did_you_mean
from transfergrid.records.factory import build
from transfergrid.records.shipped import conf_dir
from transfergrid.report.tables.sheet import render
from transfergrid.verbs import listing
from transfergrid.verbs.configs.other_names import other_names
from transfergrid.verbs.describing import class_of
from transfergrid.verbs.listing_strategies import Listed, strategies_sheet

FILES = sorted((conf_dir() / "strategy").glob("*.yaml"))
ABOUT = {path.stem: yaml.safe_load(path.read_text())["about"] for path in FILES}


def made(option, **about):
    return Listed.of(option, f"what {option} does", about)


TWO = [
    made(
        "alpha",
        setting="transductive",
        transfers="features",
        target_statistics="normalised",
        needs={"unlabelled": True},
    ),
    made(
        "beta",
        badges=["formula_exact", "band_reproduced"],
        also_called=["b_method"],
        variants={"b_plus": "strategy.plus=true"},
    ),
]


def shown(where):
    text = render(strategies_sheet(TWO, where), "csv")
    return [row["name"] for row in csv.DictReader(io.StringIO(text))]


def test_every_shipped_strategy_is_listed_as_its_file_says(capsys):
    assert listing.command(["strategies", "--format", "json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == ABOUT.keys()
    for name, about in ABOUT.items():
        told = (about["setting"], about["transfers"], about.get("badges", []))
        assert (rows[name]["setting"], rows[name]["transfers"], rows[name]["badges"]) == told
        assert rows[name]["target_statistics"] == about.get("target_statistics", "recorded")
        assert rows[name]["source"] == about["needs"]["source"]


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (None, ["alpha", "beta"]),
        ("setting=transductive", ["alpha"]),
        ("transfers!=features", ["beta"]),
        ("badge=band*", ["beta"]),
        ("badge=none", ["alpha"]),
        ("badge=formula_exact", ["beta"]),
        ("proven=formula", ["beta"]),
        ("proven=band", ["beta"]),
        ("proven!=formula,band", ["alpha"]),
        ("strategy=alpha", ["alpha"]),
        ("name=b_plus", ["beta"]),
        ("unlabelled=true", ["alpha"]),
        ("name=b_method", ["beta"]),
        ("target_statistics=normalised", ["alpha"]),
        ("target_statistics=recorded", ["beta"]),
        ("target_labels=required setting=inductive", ["beta"]),
    ],
)
def test_they_are_chosen_by_what_they_are(where, names):
    assert shown(where) == names


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("setting=transductve", "did you mean transductive?"),
        ("badges=x", "did you mean badge?"),
        ("name=gamma", "there is alpha, b_method, b_plus, beta"),
        ("proven=trajectory", "there is no proven 'trajectory'; there is band, formula, none"),
        ("features", "conditions look like name=VALUE"),
    ],
)
def test_what_there_is_not_is_told(where, told):
    with pytest.raises(BadInputError, match=told.replace("?", r"\?")):
        shown(where)


def test_what_batchnorm_does_with_unlabelled_inputs_stands_in_the_table():
    lines = render(strategies_sheet(TWO, None), "table").splitlines()
    (alpha,) = [line for line in lines if "what alpha does" in line]
    assert alpha.strip() == "what alpha does; BatchNorm: unlabelled inputs normalised"
    (beta,) = [line for line in lines if "what beta does" in line]
    assert beta.strip() == "what beta does"


def test_where_stands_beside_what_it_chooses_from():
    with pytest.raises(BadInputError, match="cells or strategies"):
        listing.command(["sources", "--where", "name=x"])


def test_eighty_columns_hold_them_and_the_help_goes_below():
    names = dict.fromkeys(("setting", "transfers"))
    longest = Listed.of(
        "x" * 28,
        " ".join(["word"] * 30),
        {
            **names,
            "setting": "transductive",
            "transfers": "parameters",
            "badges": ["formula_exact", "trajectory_exact", "band_reproduced"],
        },
    )
    lines = render(strategies_sheet([longest], None), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == [
        "x" * 28,
        "transductive",
        "parameters",
        *("formula", "trajectory", "band"),
    ]
    assert lines[2].startswith("    word word")
    assert lines[3].startswith("    word")
    wide = render(strategies_sheet([longest], None), width=None).splitlines()
    assert wide[1].endswith("word word")


# Other names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["swa", "SWA", "S.W.A.", "stochastic-weight-averaging"])
def test_another_usual_name_is_understood_however_it_is_written(typed):
    also = {"swa": "weight_averaging", "stochastic_weight_averaging": "weight_averaging"}
    known = ["sam", "weight_averaging"]
    assert did_you_mean(typed, known, also) == "; did you mean weight_averaging?"


def test_a_known_name_that_is_nearly_typed_goes_first():
    assert did_you_mean("weight_averagin", ["weight_averaging"], {"mean": "x"}).endswith("ging?")
    assert did_you_mean("stochastic_weights", ["sam"], {"stochastic_weight": "y"}).endswith("y?")
    assert did_you_mean("zzzz", ["a"], {"b": "c"}) == "; there is a"


def test_no_two_strategies_are_called_alike():
    said = [(other, name) for name, told in ABOUT.items() for other in told.get("also_called", ())]
    said += [
        (other, f"{name} with {typed}")
        for name, told in ABOUT.items()
        for other, typed in told.get("variants", {}).items()
    ]
    assert len({other for other, _ in said}) == len(said)
    bare = {(re.sub(r"[\W_]", "", other).casefold(), meant) for other, meant in said}
    assert len({other for other, _ in bare}) == len(bare)
    assert not {other for other, _ in said} & ABOUT.keys()
    assert other_names("strategy") == dict(said)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("dann", "domain_adversarial"),
        ("DeepCORAL", "coral"),
        ("fine-tuning", "full_finetuning"),
        ("from scratch", "scratch"),
        ("llrd", "layerwise_lr"),
        ("DoRA", "lora with strategy.dora=true"),
        ("ulmfit", "gradual_unfreezing with strategy.schedule=slanted_triangular"),
        ("EMA", "weight_averaging with strategy.begin=0 strategy.decay=0.99"),
    ],
)
def test_what_the_field_says_leads_to_what_is_typed(typed, meant):
    assert did_you_mean(typed, ABOUT, other_names("strategy")) == f"; did you mean {meant}?"


def test_what_is_typed_for_a_variant_can_be_typed():
    for name, told in ABOUT.items():
        config = yaml.safe_load((conf_dir() / "strategy" / f"{name}.yaml").read_text())
        for typed in told.get("variants", {}).values():
            keys = dict(word.removeprefix("strategy.").split("=") for word in typed.split())
            for key, text in keys.items():
                values = [*map(yaml.safe_load, text.split(","))]
                assert values != [config[key]], f"{name}: that is its default"
                for value in values:
                    assert build({**config, key: value}).hparams[key] == value


def test_nothing_is_transferred_by_whom_the_source_s_weights_do_not_reach():
    for name, told in ABOUT.items():
        without = told["needs"]["source"] in ("none", "architecture")
        assert (told["transfers"] == "nothing") is without, name
        if told["transfers"] == "instances":
            assert told["needs"]["domains"], name


def test_other_names_in_files_of_ones_own_count_and_broken_ones_do_not(tmp_path):
    own = tmp_path / "strategy"
    own.mkdir()
    (own / "mine.yaml").write_text("about: {also_called: [ours]}")
    (own / "broken.yaml").write_text("about: [")
    (own / "odd.yaml").write_text("about: {also_called: ours}")
    found = other_names("strategy", [f"file://{tmp_path}", "pkg://transfergrid.conf"])
    assert found == {**other_names("strategy"), "ours": "mine"}


def test_whoever_checks_or_describes_it_is_told_too():
    with pytest.raises(BadInputError, match=r"did you mean l2_sp\?"):
        class_of("L2SP")
