"""Words as people type them: read as they are meant, or answered with what to type instead."""

from pathlib import Path
from typing import get_args

import pytest
from hydra.types import RunMode

from composed import asked, loader
from transfergrid.records.errors import BadInputError
from transfergrid.records.identity import read_labels, read_seed
from transfergrid.records.shipped import conf_dir, parameters
from transfergrid.runs.launching.launchers import Workers
from transfergrid.verbs.asking import settings_of
from transfergrid.verbs.cli import VERBS
from transfergrid.verbs.configs.keys import verb_first
from transfergrid.verbs.configs.requests import parse, values_of
from transfergrid.verbs.configs.typed_words import INSIDE, for_hydra, prepared

HOME = str(Path.home())


def meant(word):
    """Return the values that Hydra makes of a word, after it was prepared."""
    key, _, value = prepared(word).partition("=")
    (override,) = parse([f"{key}={value}"])
    return [one.strip("'").replace("\\'", "'") for one in values_of(override)]


@pytest.mark.parametrize(
    "path",
    [
        "/data/Übung/größe",
        "/data/写真",
        "photos (1)",
        "it's here",
        "a=b",
        "photos [new]",
        "C;D",
        "50% & more!",
    ],
)
def test_paths_of_all_letters_and_signs(path):
    assert meant(f"target.root={path}") == [path]


def test_the_home_folder_alone_and_in_a_list():
    assert meant("target.root=~/photos") == [f"{HOME}/photos"]
    assert meant("target.root=~") == [HOME]
    assert meant("source.file=~/a.pth,/b/ü.pth,~/c.pth") == [
        f"{HOME}/a.pth",
        "/b/ü.pth",
        f"{HOME}/c.pth",
    ]
    assert meant("target.root=a~b") == ["a~b"]


@pytest.mark.parametrize(
    "word",
    [
        "strategy=scratch,majority",
        "seed=range(0,5)",
        "source='glob(mobilenet*)'",
        "strategy.student={_target_:x.Y,model:a}",
        "references=[majority]",
        "target.part_of=[a,b]",
        "training.lr=0.1,0.01",
        "strategy.lr_factor=1,10",
        "labels=0,2,20",
        "seed=00,01",
    ],
)
def test_what_hydra_reads_rightly_stays_as_it_is(word):
    assert prepared(word).removeprefix("++") == word


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("strategy=[scratch,majority]", "write strategy=scratch,majority"),
        ("strategy=[scratch, majority]", "write strategy=scratch,majority"),
        ("labels=[2,20]", "write labels=2,20"),
        ("seed=[0]", "write seed=0"),
        ("training=[default]", "write training=default"),
        ("training.lr=0,001", "with a decimal point it is training.lr=0.001"),
        ("source.training.lr=1,05", "with a decimal point it is source.training.lr=1.05"),
        ("training.lr=0,01,0,001", "with a decimal point it is training.lr=0.01,0.001"),
        ("strategy=full_*", "write 'strategy=glob(full_*)'"),
        ("tracking=offline(project=x)", "write tracking=offline tracking.project=x"),
        ("strategy=scratch,", "a value is missing beside a comma"),
        ("strategy=scratch,,majority", "a value is missing beside a comma"),
    ],
)
def test_what_would_mean_something_else_is_answered(word, told):
    with pytest.raises(BadInputError) as refused:
        prepared(word)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("typed", "option"),
    [
        ("source=glyph_digits(label_noise=0.1)", "glyph_digits(label_noise=0.1)"),
        ("source='glyph_digits(domain.inverted=true)'", "glyph_digits(domain.inverted=true)"),
        ("training=default(steps=5)", "default(steps=5)"),
    ],
)
def test_one_option_with_keys_in_brackets_runs_as_several_do(typed, option):
    word, key = prepared(typed, runs=True), typed.partition("=")[0]
    composed = loader().load_configuration("config", [word], run_mode=RunMode.MULTIRUN)
    assert key in composed, "what it is stays open until its cells are made"
    (read,) = parse([word])
    (name,) = values_of(read)
    assert name.strip("'") == option


@pytest.mark.parametrize(
    ("read", "value", "told"),
    [
        (read_seed, "0-4", "seed='range(0,5)'"),
        (read_seed, "0..4", "seed='range(0,5)'"),
        (read_seed, "0\\:4", "seed='range(0,5)'"),
        (read_labels, "2-20", "labels='range(2,21)'"),
    ],
)
def test_ranges_in_other_notations(read, value, told):
    with pytest.raises(BadInputError) as refused:
        read(value)
    assert told in str(refused.value)
    assert "range" in str(refused.value)
    with pytest.raises(BadInputError) as refused:
        read("4-0")
    assert "range" not in str(refused.value)


def test_a_half_with_a_decimal_comma_is_no_pair_of_numbers():
    with pytest.raises(BadInputError, match=r"strategy\.weight=0\.5 for one number") as refused:
        asked("strategy=distillation", "strategy.weight=0,5")
    assert "strategy.weight=0.0,5 for two" in str(refused.value)
    assert len(asked("source.seed=0,5").sources) == 2, "seeds are whole: two of them are meant"


def test_options_may_stand_before_a_verb():
    assert verb_first(["--config-dir", "X", "list", "strategies"]) == [
        *("list", "--config-dir", "X", "strategies"),
    ]
    assert verb_first(["--config-dir=X", "list"]) == ["list", "--config-dir=X"]
    assert verb_first(["--help", "table"]) == ["table", "--help"]
    for words in (
        ["--config-dir", "list", "seed=1"],
        ["-m", "seed=1"],
        ["--cfg", "job"],
        ["--info", "defaults", "seed=1"],
        ["seed=1", "table"],
        [],
    ):
        assert verb_first(words) == words


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["seed=1", "table"], "a verb comes first, as in transfergrid table"),
        (["labels=2", "20"], "commas stand between several values, and no spaces"),
        (["seed=1", "-m", "tabel"], "write KEY=VALUE"),
    ],
)
def test_words_that_are_no_overrides(words, told):
    with pytest.raises(BadInputError) as refused:
        for_hydra(words, [*VERBS])
    assert told in str(refused.value)


def test_values_of_options_are_left_alone():
    words = ["--cfg", "job", "seed=1", "-c", "hydra"]
    assert for_hydra(words, [*VERBS]) == words


@pytest.mark.parametrize("several", ["strategy=scratch,lora", "seed=range(3)", "source=[a,b]"])
def test_one_configuration_is_shown_and_help_is_the_same_whatever_is_asked_for(several):
    with pytest.raises(BadInputError, match="show one configuration; give one value"):
        for_hydra([several, "--cfg", "job"], [*VERBS])
    assert for_hydra([several, "--help"], [*VERBS]) == ["--help"]


def test_multirun_anywhere():
    words = ["seed=1", "-m", "labels=2", "--multirun"]
    assert for_hydra(words, [*VERBS]) == ["-m", "seed=1", "labels=2"]


def test_what_is_read_of_annotations_of_whole_numbers():
    training = parameters("transfergrid.records.training.Training")
    assert [get_args(training[name].annotation)[0] for name in ("steps", "lr")] == [int, float]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("lr=0,001", "did you mean training.lr?"),
        ("margin=2", "did you mean verdict.margin?"),
        ("workers=1", "did you mean trainer.workers?"),
        ("root=photos", "did you mean target.root?"),
        ("training.steps=1,000", "write training.steps=1000"),
        ("labels=2,000", "write labels=2000"),
        ("training.steps=20,000,000", "write training.steps=20000000"),
    ],
)
def test_a_key_without_its_group_and_a_comma_for_thousands(word, told):
    with pytest.raises(BadInputError) as caught:
        prepared(word)
    assert told in str(caught.value)


def test_keys_that_are_told_with_their_group_are_there():
    files = {"training": "training/default", "trainer": "trainer/default", "verdict": "config"}
    for key, group in INSIDE.items():
        if group in files:
            lines = (conf_dir() / f"{files[group]}.yaml").read_text().splitlines()
            assert any(line.strip().startswith(f"{key}:") for line in lines), key


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["hydra/launcher=workers", "hydra.launcher.nn=3"], "'nn'; did you mean n?"),
        (["hydra/launcher=workers", "hydra.launcher.n=some"], "hydra.launcher.n must be a whole"),
        (["hydra.launcher.n=3"], "unknown key of hydra.launcher 'n'"),
        (["--detach"], "--detach is for workers and slurm"),
        (["hydra/launcher=basic"], "give local, workers, slurm, ray"),
    ],
)
def test_a_launcher_that_cannot_be_meant_is_answered_in_one_line(words, line):
    config = loader().load_configuration("config", for_hydra(words, VERBS), RunMode.MULTIRUN)
    with pytest.raises(BadInputError) as refused:
        settings_of(config)
    assert line in str(refused.value)


def test_detach_is_a_word_of_its_own():
    words = for_hydra(["hydra/launcher=workers", "--detach"], VERBS)
    config = loader().load_configuration("config", words, RunMode.MULTIRUN)
    assert settings_of(config).launcher == Workers(detach=True)
