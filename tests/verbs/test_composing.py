"""Options are what Hydra composes, and nothing that is typed vanishes."""

import inspect
from pathlib import Path

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from composed import DEFAULTS, asked, loader, needed, planned, whole
from transfergrid.records.errors import BadInputError, check_key
from transfergrid.records.factory import locate
from transfergrid.records.shipped import conf_dir
from transfergrid.verbs.asking import ask
from transfergrid.verbs.configs.composing import Composer, finished
from transfergrid.verbs.configs.keys import GROUPS
from transfergrid.verbs.configs.loading import loading
from transfergrid.verbs.configs.option_names import display_name
from transfergrid.verbs.configs.requests import read_request
from transfergrid.verbs.configs.typed_words import prepared

CONF = conf_dir()
OPTIONS = [(g, p.stem) for g in GROUPS for p in sorted((CONF / g).glob("*.yaml"))]
STUDIES = sorted(path.stem for path in (CONF / "study").glob("*.yaml"))


def only(*arguments):
    """Return the single cell's five configs that these overrides ask for, assembled."""
    made = asked(*arguments)
    axes = (made.sources, made.strategies, made.targets, made.trainings, made.tunings)
    assert [len(axis) for axis in axes] == [1, 1, 1, 1, 1]
    return {group: axis[0].config for group, axis in zip(GROUPS, axes, strict=True)}


def names(*arguments, **more):
    """Return the display names of the options that are asked for, axis by axis."""
    made = asked(*arguments, **more)
    axes = (made.sources, made.strategies, made.targets, made.trainings, made.tunings)
    return {g: [o.name for o in axis] for g, axis in zip(GROUPS, axes, strict=True)}


def test_options_of_all_groups_are_composed_at_once(monkeypatch):
    """One composition takes 0.1 s: there is one for all that was asked for."""
    loaded = []
    real = type(loader()).load_configuration

    def load(self, *arguments, **more):
        loaded.append(arguments[1])
        return real(self, *arguments, **more)

    monkeypatch.setattr(type(loader()), "load_configuration", load)
    words = ("source=glyph_digits,placebo", "strategy=scratch,shot,mcd", "target=digits")
    request = read_request(words, {}, DEFAULTS, loader())
    made = ask(request, Composer(loader(), "config", []))  # which has composed nothing before
    assert len(loaded) == 1
    assert [option.name for option in made.strategies] == ["scratch", "shot", "mcd"]
    alone = [only(f"strategy={name}")["strategy"] for name in ("scratch", "shot", "mcd")]
    assert [option.config for option in made.strategies] == alone


def test_options_that_are_composed_at_once_are_what_each_is_alone():
    together, single = (Composer(loader(), "config", []) for _ in range(2))
    together.compose_together({g: [name for of, name in OPTIONS if of == g] for g in GROUPS})
    few = ("placebo", "glyph_digits", "mlp", "distillation", "digits", "random", "none")
    for group, name in [option for option in OPTIONS if option[1] in few]:
        choice = (f"{group}={name}",)
        one, other = (made._fragment(group, choice)[group] for made in (together, single))
        assert OmegaConf.to_yaml(one) == OmegaConf.to_yaml(other), choice
    assert not together._wholes, "none of them was composed by itself"


@pytest.mark.parametrize(
    ("file", "text", "words", "options"),
    [
        (
            "study/mine.yaml",
            "# @package _global_\ntraining: {steps: 7}\nabout: {help: mine}\n",
            ["study=mine"],
            {"training": ["default", "vectors"]},
        ),
        (
            "strategy/mine.yaml",
            "defaults: [full_finetuning, _self_]\nlr_factor: ${training.lr}\n",
            [],
            {"strategy": ["mine", "scratch"]},
        ),
    ],
    ids=["a study adds to a group", "a strategy names another group's value"],
)
def test_what_is_told_outside_a_file_holds_for_its_options(tmp_path, file, text, words, options):
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(text)
    with loading([], str(tmp_path)) as (_, made):
        together, single = (Composer(made, "config", words) for _ in range(2))
        together.compose_together(options)
        for group, names in options.items():
            for name in names:
                assert together.option(group, name).config == single.option(group, name).config
        told = single.option(*next((g, n[0]) for g, n in options.items())).config
    assert told.get("steps", told.get("lr_factor")) in (7, 0.01)


# Every shipped config ---------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_every_option_composes_into_what_its_class_takes(group, name):
    config = only(f"{group}={name}", *needed(group, name))[group]
    cls = locate(config["_target_"])
    assert config.keys() - {"_target_", "about"} == set(inspect.signature(cls).parameters)
    about = config["about"]
    assert {key: about[key] for key in ("version", "paths")} == {
        key: cls.about()[key] for key in ("version", "paths")
    }
    assert about["help"]
    assert "\n" not in about["help"]
    assert (CONF / group / f"{name}.yaml").read_text().startswith("# ")


@pytest.mark.parametrize("group", ["trainer", "tracking", "training", "score"])
def test_other_groups_compose_too(group):
    for path in (CONF / group).glob("*.yaml"):
        choice = [f"{group}={path.stem}"]
        config = loader().load_configuration("config", choice, run_mode=RunMode.RUN)
        assert config[group].about.help, path


@pytest.mark.parametrize("name", STUDIES)
def test_every_studys_params_name_options_that_exist(name):
    study = f"study={name}"
    config = loader().load_configuration("config", [study], run_mode=RunMode.RUN)
    params = OmegaConf.to_container(config.hydra.sweeper.params)
    made = asked(study, params=params)
    assert made.sources
    assert made.strategies
    assert config.about.help


def test_every_yaml_file_is_in_a_group_that_is_tested():
    groups = {*GROUPS, "trainer", "tracking", "score", "study", "hydra"}
    found = {path.relative_to(CONF).parts[0] for path in CONF.rglob("*.yaml")}
    assert found == {*groups, "config.yaml"}


# Assembled equals composed ----------------------------------------------------------------------

STUDENT = "transfergrid.sources.timm.TimmArchitecture"
COMBINATIONS = [
    [],
    ["source=glyph_letters", "strategy=domain_adversarial", "target=glyph_digits"],
    ["source=placebo", "source.how=noise", "strategy=layerwise_lr", "strategy.decay=0.5"],
    ["source=placebo", "source@source.of=glyph_letters", "source.of.training.steps=7"],
    ["source=trained_here", "target@source.domain=noise", "source.domain.n_classes=4"],
    ["source=trained_here", "source.seed=block", "source.model=vgg11"],
    ["source=trained_here", "source.architecture.options={in_chans:3,pad_type:same}"],
    ["source=timm", "source.model=resnet18", "source.architecture.size=64"],
    ["source=timm", "source.model=resnet18", "+target@source.domain=digits"],
    ["source=timm", "source.model=vit_tiny_patch16_224", "+source.architecture.options.a=1"],
    ["source=checkpoint", "source.model=resnet18", "source.file=w.safetensors"],
    ["strategy=distillation", "strategy@strategy.teacher=layerwise_lr", "strategy.weight=1"],
    ["strategy=distillation", "strategy.teacher.lr_factor=0.1", "strategy.temperature=2.0"],
    ["strategy=distillation", f"+strategy.student={{_target_:{STUDENT},model:test_vit}}"],
    ["strategy=distillation", f"strategy.student={{_target_:{STUDENT},model:test_vit,size:16}}"],
    ["target=image_folder", "target.root=/photos", "target.test_split=0.25"],
    ["target=arrays", "target.file=/scans.npz", "target.metric=auroc", "training.lr=1e-4"],
    ["training.schedule=constant", "training.gradient_clip=1.0", "training.steps=5"],
    ["study=digits", "source=glyph_digits", "strategy=scratch", "training.optimizer=sgd"],
]


@pytest.mark.parametrize("overrides", COMBINATIONS, ids=" ".join)
def test_an_assembled_cell_equals_the_composed_one(overrides):
    assert only(*overrides) == whole(*overrides)


PLACEBOS = {
    "source.architecture.size=64": ("architecture", "size", 64),
    "source.training.steps=7": ("training", "steps", 7),
    "source.seed=block": ("seed", "block"),
    "target@source.domain=noise": ("domain", "_target_", "transfergrid.data.noise.Noise"),
}


@pytest.mark.parametrize("override", PLACEBOS)
def test_a_placebo_takes_what_is_said_to_its_source_in_the_same_sweep(override):
    source, placebo = asked("source=glyph_digits,placebo", override).sources
    *path, value = PLACEBOS[override]
    for node in (source.config, placebo.config["of"]):
        for key in path:
            node = node[key]
        assert node == value
    assert placebo.config["of"] == source.config
    assert placebo.config["seed"] == 0
    assert "of." not in placebo.name


def test_a_placebos_own_keys_are_its_own():
    (placebo,) = asked("source=placebo", "source.seed=3", "source.of.seed=5").sources
    assert (placebo.config["seed"], placebo.config["of"]["seed"]) == (3, 5)


def test_a_placebo_without_such_a_key_anywhere_says_so():
    with pytest.raises(BadInputError, match="archtecture"):
        asked("source=placebo", "source.archtecture.size=64")


def test_a_pretrained_source_takes_a_labelled_domain_with_and_without_a_plus():
    plus, plain = (
        only("source=timm", "source.model=resnet18", f"{sign}target@source.domain=digits")
        for sign in ("+", "")
    )
    assert plus == plain
    assert plain["source"]["domain"]["_target_"].endswith("Digits")


def test_a_study_holds_for_every_option():
    assert asked("study=digits").targets[0].config == whole("study=digits")["target"]


def test_options_do_not_share_values():
    first, second = asked("training.lr=0.1,0.2").trainings
    assert (first.config["lr"], second.config["lr"]) == (0.1, 0.2)
    assert asked().trainings[0].config["lr"] == whole()["training"]["lr"]


# The request ------------------------------------------------------------------------------------


def test_lists_ranges_choices_and_globs():
    made = asked("labels=2,20,all", "seed=range(5)", "source=glob(glyph_*)")
    assert made.labels == [2, 20, "all"]
    assert made.seeds == [0, 1, 2, 3, 4]
    assert [option.name for option in made.sources] == ["glyph_digits", "glyph_letters"]
    assert asked("labels=choice(1,5)", "seed=range(2,8,3)").labels == [1, 5]


def test_a_value_asked_for_twice_counts_once():
    made = asked("labels=2,02,2.0", "seed=1,1")
    assert (made.labels, made.seeds) == ([2], [1])
    assert len(planned("source=glyph_digits,glyph_digits", "seed=0,00").wanted) == 1


def test_the_command_line_narrows_a_study_key_by_key():
    params = {"source": "glyph_digits,glyph_letters", "strategy": "scratch", "seed": "range(5)"}
    made = asked("source=glyph_letters", "labels=2", params=params)
    assert [option.name for option in made.sources] == ["glyph_letters"]
    assert [option.name for option in made.strategies] == ["scratch"]
    assert (made.labels, made.seeds) == ([2], [0, 1, 2, 3, 4])


def test_a_studys_params_may_reach_inside_groups():
    assert names(params={"training.lr": "0.1,0.2"})["training"] == [
        "default(lr=0.1)",
        "default(lr=0.2)",
    ]
    narrowed = names("training.lr=0.3", params={"training.lr": "0.1,0.2"})
    assert narrowed["training"] == ["default(lr=0.3)"]


def test_sweeps_over_keys_inside_a_group_multiply():
    made = names("strategy=layerwise_lr", "strategy.decay=0.5,0.9", "strategy.lr_factor=1,2")
    assert made["strategy"] == [
        "layerwise_lr(decay=0.5,lr_factor=1)",
        "layerwise_lr(decay=0.5,lr_factor=2)",
        "layerwise_lr(decay=0.9,lr_factor=1)",
        "layerwise_lr(decay=0.9,lr_factor=2)",
    ]


def test_sweeps_over_a_group_inside_a_group():
    made = names("source=trained_here", "target@source.domain=glyph_digits,noise")
    assert made["source"] == ["trained_here(domain=glyph_digits)", "trained_here(domain=noise)"]


def test_an_option_may_be_asked_for_as_tables_show_it():
    shown = "glyph_digits(label_noise=0.3)"
    typed = prepared(f"source={shown},placebo,glyph_digits(domain.inverted=true,seed=block)")
    found = {o.name: o.config for o in asked(typed).sources}
    told = "glyph_digits(domain.inverted=true,seed=block)"
    assert [*found] == [shown, "placebo", told]
    assert found[shown] == asked("source=glyph_digits", "source.label_noise=0.3").sources[0].config
    assert (found[told]["domain"]["inverted"], found[told]["seed"]) == (True, "block")
    assert found["placebo"] == asked("source=placebo").sources[0].config


def test_a_key_inside_a_name_is_checked_as_others_are():
    with pytest.raises(BadInputError, match=r"source\.lable_noise; did you mean label_noise"):
        asked(prepared("source=glyph_digits(lable_noise=0.3)"))


def test_a_key_that_changes_nothing_changes_no_identity():
    plain, typed = asked().trainings[0], asked("training.momentum=0.9").trainings[0]
    assert plain.digest == typed.digest


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["source=timm", "source.model=resnet18"], "resnet18"),
        (["source=timm", "source.model=resnet18", "source.file=a/w.pth"], "resnet18(file=w.pth)"),
        (["source=checkpoint", "source.model=x", "source.file=a/w.pth"], "w(model=x)"),
        (["source=glyph_digits"], "glyph_digits"),
        (["source=glyph_digits", "source.seed=3"], "glyph_digits(seed=3)"),
    ],
)
def test_display_names(arguments, name):
    assert names(*arguments)["source"] == [name]


def test_a_folder_is_called_by_its_name(tmp_path):
    assert names("target=image_folder", "target.root=data/photos/")["target"] == ["photos"]
    (tmp_path / "v1.2").mkdir()
    about = {"named_by": "root", "paths": ["root"]}
    config = {"root": str(tmp_path / "v1.2"), "about": about}
    assert display_name("image_folder", config, ()) == "v1.2"


CROSSED = {
    "en/train.jsonl": "de/train.jsonl",
    "en/test.jsonl": "de/test.jsonl",
}


def test_files_that_end_alike_are_told_apart_by_their_folders():
    first, second = (",".join(pair) for pair in CROSSED.items())
    made = names("target=text_table", f"target.file={first}", f"target.test_file={second}")
    assert made["target"] == [
        f"{a}/train(test_file={b}/test.jsonl)" for a in ("en", "de") for b in ("en", "de")
    ]


def test_an_interpolation_is_called_by_what_it_came_to(monkeypatch):
    monkeypatch.setenv("WHERE", "/data/corpora")
    file = "target.test_file='${oc.env:WHERE}/held_out.jsonl'"
    made = names("target=text_table", "target.file=train.jsonl", file)
    assert made["target"] == ["train(test_file=held_out.jsonl)"]


# Nothing vanishes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["source=glyph_digts"], "unknown source 'glyph_digts'; did you mean glyph_digits?"),
        (["strategy=scratch,scrach"], "unknown strategy 'scrach'; did you mean scratch?"),
        (["target@source.domain=nois"], "nois"),
        (["labels=2,x"], "labels=x: give 0"),
        (["seed=0,-1"], "seed=-1: give a whole number"),
        (["seed=range(0)"], "names nothing"),
        (["source=glob(zz*)"], "names nothing"),
        (["training.lr=interval(0,1)"], "list the values"),
        (["trainer.workers=1,2"], "trainer.workers is the same for all cells"),
        (["study=digits,other"], "the same for all cells"),
        (["~strategy.lr_factor"], "no part of a cell can be left out"),
        (["strategy.lr_factr=2"], "strategy=full_finetuning has no key strategy.lr_factr"),
        (["strategy=scratch,layerwise_lr", "strategy.decay=1"], "scratch has no key"),
        (["source.architecture.sise=3"], "did you mean size?"),
        (["source.about.version=3"], "about"),
        (["strategy._target_=x.Y"], "_target_"),
        (["source=timm"], "source=timm also needs source.model=..."),
        (["target=image_folder"], "target=image_folder also needs target.root=..."),
        (["labels=2,,3"], "cannot read this override"),
        (
            ["training@source.training=[default,brief]"],
            "training@source.training=[default,brief]: a place takes one at a time, and this is "
            "several; to try each give training@source.training=default,brief",
        ),
        (["strategy=[scratch,layerwise_lr]"], "to try each give strategy=scratch,layerwise_lr"),
        (["target=digits,[mnist,noise]"], "target=[mnist,noise]: a place takes one at a time"),
        (["labels=[2,20]"], "labels=[2,20]: a place takes one at a time"),
        (["seed={a:1}"], "seed={a:1}: a place takes one at a time"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_told_in_one_line(arguments, told):
    with pytest.raises(BadInputError) as caught:
        asked(*arguments)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_strategy_of_ones_own_in_a_config_folder(tmp_path):
    check_key(["options", "anything"], {"_target_": "x", "options": {}}, "source=x")
    with pytest.raises(BadInputError, match="did you mean model"):
        check_key(["modle"], {"_target_": "x", "model": 1}, "source=x")


def test_finished_takes_shortcuts_out_and_makes_paths_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    about = {"paths": ["file", "other"], "shortcuts": ["model"]}
    made = finished({"model": 1, "file": "a/b", "other": None, "about": about, "inner": [{"a": 1}]})
    assert made == {
        "file": str(tmp_path / "a" / "b"),
        "other": None,
        "about": about,
        "inner": [{"a": 1}],
    }


def test_a_class_of_ones_own_takes_the_place_of_another_part():
    node = "{_target_: transfergrid.sources.small_cnn.SmallCNN, size: 16, channels: 1}"
    (source,) = asked("source=trained_here", f"source.architecture={node}").sources
    assert source.config["architecture"] == {
        "_target_": "transfergrid.sources.small_cnn.SmallCNN",
        "size": 16,
        "channels": 1,
        "about": {"version": 1, "paths": []},
    }
    assert source.name == "trained_here(architecture=SmallCNN)"


def test_a_part_as_typed_is_known_by_its_contents(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("text,label\nx,1\n")
    node = "{_target_: transfergrid.data.text_table.TextTable, file: a.csv, test_split: 0.5}"
    (source,) = asked("source=trained_here", f"source.domain={node}").sources
    assert source.config["domain"]["file"] == str(tmp_path / "a.csv")
    assert source.config["domain"]["about"]["content"] is True


def test_the_first_of_several_keys_that_is_given_names_an_option(tmp_path):
    (tmp_path / "my_encoder").mkdir()
    about = {"named_by": ["model", "folder"], "paths": []}
    config = {"model": None, "folder": str(tmp_path / "my_encoder"), "about": about}
    typed = ("source.folder=my_encoder",)
    assert display_name("transformers", config, typed) == "my_encoder"
    assert display_name("transformers", {**config, "model": "bert"}, ()) == "bert"
    assert display_name("transformers", {**config, "folder": None}, ()) == "transformers"
