"""What is read from source files is what the classes are: every shipped part, by wildcard."""

import inspect
import re
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest

from composed import asked, composer, needed
from transfergrid.records import shipped
from transfergrid.records.arguments import is_plain, taken_by
from transfergrid.records.component import Part
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import build, locate
from transfergrid.records.shipped import HERE, conf_dir, group_of, is_part, located, parameters
from transfergrid.verbs.configs.refusals import check_config

ROOMS = ("data", "sources", "strategies", "runs/scores", "runs/tuning")
MODULES = [
    ".".join(f.relative_to(HERE.parent).with_suffix("").parts)
    for room in ROOMS
    for f in (HERE / room).rglob("[a-z]*.py")
]
MODULES += [
    "transfergrid.records.training",
    "transfergrid.records.tracking.tracker",
    "transfergrid.records.tracking.wandb_tracker",
    "transfergrid.records.component",
]
CLASSES = [
    cls
    for name in sorted(MODULES)
    for cls in vars(import_module(name)).values()
    if isinstance(cls, type) and cls.__module__ == name
]
PARTS = [cls for cls in CLASSES if issubclass(cls, Part)]
TARGETS = {
    t
    for f in conf_dir().rglob("*.yaml")
    for t in re.findall(r"_target_: *(transf[\w.]+)", f.read_text())
}


def target(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def test_every_shipped_config_names_a_part():
    assert len(TARGETS) > 30
    assert {name for name in TARGETS if not is_part(name)} == set()
    assert {target(cls) for cls in PARTS} >= TARGETS


@pytest.mark.parametrize("cls", CLASSES, ids=target)
def test_a_class_is_known_as_a_part_if_it_is_one(cls):
    assert is_part(target(cls)) is issubclass(cls, Part)


def test_no_two_parts_are_called_alike():
    """They are found again by the name of the class, and hashed, each in its part, in small
    letters; so those of `testing` count too."""
    found: dict[str, set[str]] = {}
    hashed: dict[tuple[str, str], set[str]] = {}
    for name, modules in shipped._classes().items():
        there = {f"{module}.{name}" for module in modules}
        parts = {t for t in filter(is_part, there) if located(t) == t}
        found.setdefault(name, set()).update(parts)
        for part in parts:
            key = group_of(part), name.lower().replace("_", "")
            hashed.setdefault(key, set()).add(part)
    assert {target(cls) for cls in PARTS} <= set().union(*found.values())
    for named in (found, hashed):
        assert {name: there for name, there in named.items() if len(there) > 1} == {}


@pytest.mark.parametrize("cls", [c for c in PARTS if target(c) in TARGETS], ids=target)
def test_arguments_are_those_of_the_constructor(cls):
    true = inspect.signature(cls).parameters
    read = parameters(target(cls))
    assert [*read] == [*true] or {*read} == {*true}
    for name, known in true.items():
        assert read[name].required is (known.default is known.empty), name
        plain = taken_by(cls)[name]
        assert read[name].annotation == (plain if is_plain(plain) else Any), name
    assert group_of(target(cls)) == cls.group


def test_of_plain_annotations_none_is_missed():
    """Numbers and text of shipped strategies are all checked."""
    names = [name for name in TARGETS if ".strategies." in name]
    annotations = [p.annotation for name in names for p in parameters(name).values()]
    assert sum(kind is not Any for kind in annotations) > 20


VALUES = (-1, 0, 0.5, 2, True, "abc", None, [1])


def refusal(make, config):
    try:
        make(config)
    except BadInputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", sorted(composer().names("strategy")))
def test_constructors_refuse_nothing_that_was_not_refused_before_them(name):
    """And in the same words, for each argument and many a value."""
    config = composer().option("strategy", name).config
    for key in config.keys() - {"_target_", "about", "teacher", "then"}:
        for value in VALUES:
            changed = {**config, key: value}
            assert refusal(check_config, changed) == refusal(build, changed), (key, value)


@pytest.mark.parametrize("group", ["strategy", "source", "target", "training", "score"])
def test_every_shipped_config_passes(group):
    for name in composer().names(group):
        overrides = tuple(needed(group, name))
        check_config(composer().option(group, name, overrides).config)


def test_what_a_class_would_refuse_is_told_without_torch(tmp_path):
    script = (
        "import sys; from transfergrid.verbs.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: assert not {'torch', 'timm', 'pytorch_lightning'} & {*sys.modules}"
    )
    for word, told in (
        (
            "strategy.lr_factor=abc",
            "lr_factor must be a number above 0, or null, not 'abc'",
        ),
        ("strategy.lr_factor=-1", "strategy.lr_factor must be above 0, or null: -1"),
        ("strategy.schedule=cosin", "did you mean cosine?"),
    ):
        command = [sys.executable, "-c", script, word]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert done.stderr.count("\n") == 1


def test_nothing_is_known_of_what_is_elsewhere():
    assert parameters("os.system") == {}
    assert parameters("transfergrid.nowhere.X") == {}
    with pytest.raises(BadInputError, match="abc"):
        asked("strategy.lr_factor=abc")
    assert locate("transfergrid.records.training.Training").__name__ == "Training"
