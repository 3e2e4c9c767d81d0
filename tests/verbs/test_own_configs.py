"""A user's own configs: his files win over shipped ones of the same name, and it is said."""

import shutil
from contextlib import contextmanager

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from composed import DEFAULTS, planned
from transfergrid.records.errors import BadInputError
from transfergrid.records.shipped import conf_dir
from transfergrid.verbs.asking import ask
from transfergrid.verbs.cli import main
from transfergrid.verbs.configs import own_configs
from transfergrid.verbs.configs.composing import Composer
from transfergrid.verbs.configs.requests import read_request
from transfergrid.verbs.sweep import make_plan


@pytest.fixture
def own(tmp_path):
    """A folder with a strategy and a training of shipped names, changed in one number each."""
    for file, before, after in (
        ("strategy/full_finetuning.yaml", "lr_factor: 0.3", "lr_factor: 0.5"),
        ("training/default.yaml", "steps: 200", "steps: 7"),
    ):
        text = (conf_dir() / file).read_text()
        assert before in text
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text(text.replace(before, after))
    yield tmp_path
    own_configs.use([])


@contextmanager
def loader():
    """Give Hydra's loader as the command line makes it."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield GlobalHydra.instance().hydra.config_loader


def wanted(*words):
    """Return the one cell that these words ask for."""
    words = own_configs.use(words)
    with loader() as made:
        request = read_request(words, {}, DEFAULTS, made)
        composer = Composer(made, "config", request.settings)
        plan = make_plan(ask(request, composer), composer, ())
    (cell,) = [cell for cell in plan.cells if cell.id in plan.wanted]
    return cell


def same_cell(*words):
    own_configs.use([])
    plan = planned(*words)
    (identity,) = plan.wanted
    return identity


@pytest.mark.parametrize("place", ["--config-dir={}", "-cd={}", "hydra.searchpath=[{}]"])
def test_the_users_file_wins_and_identity_follows_what_it_holds(own, place):
    cell = wanted(place.format(own), "labels=2")
    assert cell.config["strategy"]["lr_factor"] == 0.5
    assert cell.config["training"]["steps"] == 7
    assert cell.id == same_cell("labels=2", "strategy.lr_factor=0.5", "training.steps=7")
    assert cell.id != same_cell("labels=2")


def test_where_a_shipped_config_is_made_of_others_it_is_made_of_the_users(own):
    cell = wanted("--config-dir", str(own), "strategy=distillation")
    assert cell.config["strategy"]["teacher"]["lr_factor"] == 0.5


def test_without_a_folder_everything_is_as_shipped_again(own):
    wanted("--config-dir", str(own))
    assert wanted("labels=2").id == same_cell("labels=2")


def test_of_two_folders_the_first_wins(own, tmp_path_factory):
    second = tmp_path_factory.mktemp("second")
    shutil.copytree(own / "strategy", second / "strategy")
    file = second / "strategy" / "full_finetuning.yaml"
    file.write_text(file.read_text().replace("lr_factor: 0.5", "lr_factor: 0.25"))
    for words, factor in (((own, second), 0.5), ((second, own), 0.25)):
        places = f"hydra.searchpath=[{words[0]},{words[1]}]"
        assert wanted(places).config["strategy"]["lr_factor"] == factor


def test_which_files_stand_in_is_said(own, capsys):
    with pytest.raises(SystemExit):
        main(["--config-dir", str(own), "labels=-1"])
    told = capsys.readouterr().err
    for name in ("strategy/full_finetuning.yaml", "training/default.yaml"):
        assert f"{own / name} is read instead of the shipped {name}" in told


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("config.yaml", "make it study/NAME.yaml"),
        ("strategy/mine.yml", "its name must end in .yaml"),
        ("strategies/mine.yaml", "the folder must be called strategy"),
        ("sources/mine.yaml", "the folder must be called source"),
    ],
)
def test_files_that_would_not_be_read_are_named(tmp_path, file, told):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("labels: 5")
    with pytest.raises(BadInputError, match=told) as refused:
        own_configs.use(["--config-dir", str(tmp_path)])
    assert str(tmp_path / file.partition("/")[0]) in str(refused.value)


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_folder_that_is_none(tmp_path, kind):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match=r"there is no such folder|is no folder"):
        own_configs.use(["--config-dir", str(tmp_path / kind)])


def test_the_place_of_other_hydra_apps_is_left_alone(own):
    own_configs.use(["--config-dir", str(own)])
    own_configs.use([])
    with loader() as made:
        assert "own" not in {place.provider for place in made.get_search_path().get_path()}


def test_broken_yaml_is_a_line_with_its_place(tmp_path, capsys):
    (tmp_path / "strategy").mkdir()
    (tmp_path / "strategy" / "tabbed.yaml").write_text("_target_: a.B\n\tx: 1\n")
    with pytest.raises(SystemExit) as left:
        main(["--config-dir", str(tmp_path), "strategy=tabbed"])
    own_configs.use([])
    told = capsys.readouterr().err
    assert (left.value.code, told.count("\n")) == (2, 1)
    assert "broken YAML" in told
    assert 'tabbed.yaml", line 2' in told


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("config.yml", "labels: 2", "config.yml would replace"),
        ("strategy/mine.YAML", "a: 1", "mine.YAML is not read: its name must end in .yaml"),
        ("mine/strategy/full_finetuning.yaml", "a: 1", "give --config-dir .*mine$"),
        ("strategy/mine.yaml", "a: &a [*a]", "an anchor holds itself"),
        ("strategy/mine.yaml", "a: &a\n  b: {c: *a}", "an anchor holds itself"),
        ("strategy/mine.yaml", "- a\n- b", "holds no keys"),
        ("strategy/mine.yaml", "a word", "holds no keys"),
        ("strategy/mine.yaml", "a: " + "[" * 100_000, "nested too deep"),
    ],
)
def test_what_hydra_would_pass_over_or_fall_over_is_told(tmp_path, file, text, told):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    with pytest.raises(BadInputError, match=told) as caught:
        own_configs.check_folder(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing", "a: &a [1]\nb: *a\nc: *a", "a: [1"])
def test_what_holds_keys_and_what_hydra_tells_itself_pass(tmp_path, text):
    (tmp_path / "strategy").mkdir()
    (tmp_path / "strategy" / "mine.yaml").write_text(text)
    own_configs.check_folder(tmp_path)


def test_a_list_names_a_file_that_is_no_yaml(tmp_path, capsys):
    (tmp_path / "strategy").mkdir()
    (tmp_path / "strategy" / "mine.yaml").write_text("_target_: [a\n")
    with pytest.raises(SystemExit) as left:
        main(["list", "strategies", "--config-dir", str(tmp_path)])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "strategy/mine.yaml is broken YAML: while parsing" in line
