"""Files that somebody else wrote are data: every verb, every file, every place for a name."""

import json
import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import asdict, replace
from importlib import import_module
from itertools import cycle, product
from pathlib import Path

import pytest

from composed import planned
from ledger_factory import predicted
from listening import listening
from transfergrid.records import trust
from transfergrid.records.cell import Names, Reference, cell_of
from transfergrid.records.code import code_fingerprint
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import build, config_of
from transfergrid.records.files.fingerprints import existing
from transfergrid.records.identity import digest
from transfergrid.records.keeping import MODEL, WEIGHTS
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.provenance import identified
from transfergrid.records.record import Data, Scores, Status
from transfergrid.records.tracking.tracker import NoTracker, SafeTracker
from transfergrid.records.tracking.wandb_tracker import WandbTracker
from transfergrid.records.trust import ForeignNameError
from transfergrid.runs.launching import worker
from transfergrid.sources.backbones.transformers_models import read_config
from transfergrid.sources.timm import TimmArchitecture
from transfergrid.verbs import tracking_done
from transfergrid.verbs.cli import VERBS, main

TESTS = Path(__file__).parents[1]
EVIL = (
    "os.system",
    "builtins.exec",
    "subprocess.Popen",
    "evil.X",
    "results.evil.mod.X",
    "my_digits.evil.X",
    "transfergrid.evil.X",
    "transfergrid.verbs.cli.main",
    "transfergrid.records.provenance.subprocess.Popen",
    "transfergrid.runs.launching.processes.subprocess",
    "transfergrid.strategies.base.pl.Trainer",
    "transfergrid.data.arrays.Archive",
    "transfergrid.strategies.baselines.scratch.Strategy",
    "transfergrid.__main__.main",
    "transfergrid..os.system",
    "evil",
    "\x1b]0;evil\x07.X\nY",
    7,
    ["os.system"],
    {"_target_": "os.system"},
)
"""What stands where the name of a class belongs."""
STUDENT = "{_target_: transfergrid.sources.timm.TimmArchitecture, model: test_vit, options: {}}"
PLACES = (
    "strategy",
    "strategy.student",
    "strategy.student.options",
    "strategy.teacher",
    "strategy.about",
    "strategy.about.needs",
    "target",
    "source",
    "source.of",
    "source.of.architecture",
    "source.of.domain",
    "source.of.training",
    "training",
    "training.a_list",
)
"""Where it stands; a key that is not there is made, and `a_list` is a list that holds it."""


def spoiled(config, place, target):
    """Return a config that names `target` at a place."""
    changed = deepcopy(config)
    node = changed
    *above, last = place.split(".")
    for key in above:
        node = node[key]
    if last == "a_list":
        node[last] = [1, {"_target_": target, "command": "touch HARM", "args": ["touch", "HARM"]}]
    else:
        node[last] = {**(node.get(last) or {}), "_target_": target}
    return changed


@pytest.fixture(scope="module")
def cell():
    """A cell with all that a config can hold."""
    asked = ("strategy=distillation", f"strategy.student={STUDENT}", "source=placebo", "labels=2")
    made = planned(*asked)
    (wanted,) = [c for c in made.cells if c.id in made.wanted]
    return cell_of(json.loads(json.dumps(asdict(wanted))))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with modules that do harm as soon as they are imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])  # as of old: the worst case
    harm = "open('HARM', 'a').write(__name__)\n\n\nclass X:\n    def __init__(self, **k): 1 / 0\n"
    for package in ("results", "results/evil", "my_digits", "hydra_plugins"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(harm)
    for module in ("results/evil/mod", "my_digits/evil", "evil", "hydra_plugins/evil"):
        (tmp_path / f"{module}.py").write_text(harm)
    trust.forget()
    return tmp_path


def written(cell):
    """Write a ledger with a name at each place, and each name at one, beside honest baselines.

    Returns the ledger, and the place and the name by the identity of the cell.
    """
    ledger, spoilt = Ledger("results"), {}
    scores, data = Scores(test={"accuracy": 0.5}), Data(classes=("a", "b"), test=8)
    done = identified(cell, Status.DONE, scores=scores, data=data)
    names = Names(strategy="scratch", target="digits", architecture="small_cnn")
    base = [replace(done, id=digest(["base", n]), seed=n, names=names) for n in (0, 1)]
    for record in base:
        ledger.write(record, predicted([True] * 4 + [False] * 4))
    places = [*zip(PLACES, cycle(EVIL)), *((PLACES[i % 3], name) for i, name in enumerate(EVIL))]
    for number, (place, target) in enumerate(places):
        for seed in (0, 1):
            record = replace(
                base[seed],
                id=digest([number, seed]),
                config=spoiled(cell.config, place, target),
                names=Names(strategy=f"s{number}", target="digits", source="glyph_digits"),
                parts=replace(cell.parts, strategy=digest([number])),
                baseline=Reference(name="scratch", id=base[seed].id),
                code="0" * 16,
            )
            ledger.write(record, predicted([True] * 5 + [False] * 3), also=weights)
        spoilt[record.id] = place, target
    return ledger, spoilt


def weights(folder):
    """Pretend that the weights were kept."""
    (folder / MODEL).mkdir()
    (folder / MODEL / WEIGHTS).write_bytes(b"\0" * 8)


OF_A_LEDGER = {
    "verdicts": [["results"], ["results", "--format", "json"], ["results", "--show", "flips"]],
    "report": [["results", "-o", "report.html"]],
    "table": [["results"], ["results", "--format", "csv"]],
    "curves": [["results"]],
    "calibrate": [["results", "--simulations", "20", "--seeds", "2"]],
    "compare": [["results", "results"]],
    "list": [["cells"], []],
    "track": [["results"]],
    "dashboard": [["--results", "results", "-o", "page.json"]],
    "cache": [["status"], ["clear"]],
    "status": [["results", "--all"], ["results", "--format", "json"]],
    "ledger": [["export"], ["merge", "other", "results.tar.xz"]],
}
OF_A_CELL = {
    "export": lambda name: [name, "-o", f"exported-{name}"],
    "predict": lambda name: [name, "texts.txt"],
    "reproduce": lambda name: [name],
    "explain": lambda name: [name],
}
OF_A_CLASS = ("check", "describe")
"""They read no results."""
RUNS = ("tune", "plan")
"""What was typed, like any grid."""
RANK = ["--results", "results"]


def test_every_verb_is_walked():
    assert {*OF_A_LEDGER, *OF_A_CELL, "rank", *OF_A_CLASS, *RUNS} == {*VERBS}


def test_every_name_at_every_place_is_refused_and_named(here, cell):
    with listening(here) as heard:
        for place, target in product(PLACES, EVIL):
            with pytest.raises(ForeignNameError) as refused:
                build(spoiled(cell.config, place, target))
            assert f"{place.replace('a_list', 'a_list.1')}._target_" in str(refused.value)
            assert str(refused.value).isprintable()
    assert heard == []


@pytest.mark.parametrize("indexed", [False, True])
def test_ledgers(here, cell, capsys, monkeypatch, indexed):
    monkeypatch.setattr(WandbTracker, "place", "nowhere")  # it would start W&B's own process
    monkeypatch.setattr(tracking_done, "SafeTracker", lambda _: SafeTracker(NoTracker()))
    ledger, _ = written(cell)
    if indexed:
        assert ledger.compact()
    with listening(here) as heard:
        for verb, commands in OF_A_LEDGER.items():
            for arguments in commands:
                code = import_module(VERBS[verb]).command(arguments)
                assert code == 0 or verb == "track", verb  # which has nowhere to send to
                assert heard == [], verb
    assert not (here / "HARM").exists()
    assert "\x1b]" not in capsys.readouterr().out


def test_cells(here, cell, capsys):
    _, spoilt = written(cell)
    (here / "texts.txt").write_text("a text\n")
    before = sorted(here.rglob("*"))
    with listening(here) as heard:
        for verb, words in OF_A_CELL.items():
            command = import_module(VERBS[verb]).command
            for name, (place, target) in spoilt.items():
                if verb == "explain":  # which reads them all for each
                    continue
                with pytest.raises(BadInputError) as refused:
                    command(words(name))
                told = str(refused.value)
                assert isinstance(refused.value, ForeignNameError) is isinstance(target, str)
                assert heard == [], (verb, place, target)
                assert told.isprintable()
                key = f"{place.replace('a_list', 'a_list.1')}._target_"
                assert key in told or not isinstance(target, str)
        with pytest.raises(ForeignNameError):
            import_module(VERBS["rank"]).command(RANK)
        explain = import_module(VERBS["explain"]).command
        assert [explain([name]) for name in list(spoilt)[:3]] == [0, 0, 0]
        assert heard == []
    capsys.readouterr()
    assert sorted(here.rglob("*")) == before


def test_orders_for_a_worker(here, cell, capsys, monkeypatch):
    order = asdict(cell)
    with listening(here) as heard:
        for place, target in zip(cycle(PLACES), EVIL, strict=False):
            told = {**order, "config": spoiled(cell.config, place, target)}
            (here / "cell.json").write_text(json.dumps({"cell": told}))
            assert worker.run_file("cell.json") == 2
            assert capsys.readouterr().err.count("\n") == 1
            with pytest.raises(ForeignNameError):
                worker.obey({"cell": told})
            wrong = {"_target_": target, "command": "touch HARM"}
            with pytest.raises(ForeignNameError):
                worker.obey({"cell": order, "tracking": wrong})
        assert heard == []
    wrong = {**order, "config": spoiled(cell.config, "target", "os.system")}
    lines = [json.dumps(one) for one in ({"check": [wrong]}, {"cell": wrong}, {"cell": [wrong]})]
    script = "import pathlib, listening; from transfergrid.runs.launching import worker\n"
    script += "with listening.listening(pathlib.Path()) as heard: worker.serve()\nassert not heard"
    done = python("-P", "-c", script, stdin="\n".join(lines))
    answers = [
        told["reason"] for told in map(json.loads, done.stdout.splitlines()) if "reason" in told
    ]
    assert ["os.system, no part of transfergrid" in answer for answer in answers] == [True] * 3
    assert not (here / "HARM").exists()


def python(*words, stdin="", **variables):
    """Run Python with the paths of this one, the working directory left out."""
    paths = [path for path in sys.path if path and Path(path) != Path.cwd()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, str(TESTS)]), **variables}
    command = [sys.executable, *words]
    return subprocess.run(
        command, input=stdin, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("place", ["architecture", "architecture.options", "strategy", "training"])
@pytest.mark.parametrize("target", ["my_digits.evil.X", "os.system", "transfergrid.verbs.cli.main"])
def test_model_folders(here, cell, place, target):
    config = {
        "format": 1,
        "architecture": cell.config["source"]["of"]["architecture"],
        "strategy": cell.config["strategy"],
        "training": cell.config["training"],
        "seed": 0,
        "inputs": {"modality": "image"},
    }
    folder = here / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(spoiled(config, place, target)))
    (folder / "classes.json").write_text('["a", "b"]')
    (folder / WEIGHTS).write_bytes(b"")
    with listening(here) as heard, pytest.raises(ForeignNameError, match=f"{place}._target_ names"):
        import_module(VERBS["predict"]).command(["model", "x.png"])
    assert heard == []


@pytest.mark.parametrize("target", ["my_digits.evil.X", "os.system", "transfergrid.verbs.cli.main"])
def test_plain_features_in_a_model_folder(here, target):
    from transfergrid.runs.models import _features

    (here / "features.json").write_text(json.dumps({"_target_": target, "kept": {}}))
    with listening(here) as heard, pytest.raises(ForeignNameError):
        _features(here / "features.json")
    assert heard == []


def test_a_grid_that_goes_on_in_a_folder_of_somebodys(here, capsys, monkeypatch):
    """Its cells are done, as somebody's records say."""
    request = ("strategy=majority", "labels=2", "references=[]")
    (mine,) = planned(*request).cells
    record = identified(mine, Status.DONE, scores=Scores(test={"accuracy": 0.5}))
    ledger = Ledger("results")
    ledger.write(replace(record, config=spoiled(record.config, "strategy", "my_digits.evil.X")))
    monkeypatch.setattr(sys, "argv", [])
    with listening(here) as heard, pytest.raises(SystemExit) as left:
        main([*request, "results=results"])
    assert (left.value.code, heard) == (0, [])
    assert "1 done before" in capsys.readouterr().out


def test_tables_of_results(here, capsys):
    rows = [
        f"{name},digits,20,{seed},{score}"
        for name, score in (("scratch", 0.5), ("evil.X", 0.6))
        for seed in (0, 1, 2)
    ]
    (here / "runs.csv").write_text("\n".join(["strategy,target,labels,seed,score", *rows]))
    with listening(here) as heard:
        assert import_module(VERBS["verdicts"]).command(["runs.csv"]) == 0
    assert heard == []


def test_what_lies_in_the_working_directory_stands_in_for_no_library(here, cell):
    """As `python -m`, which puts it on the path, and as a worker does it."""
    written(cell)
    for name in ("pyarrow", "rich", "pydantic", "hydra", "narwhals", "altair", "scipy", "numpy"):
        (here / f"{name}.py").write_text("open('HARM', 'a').write(__name__)")
    assert python("-m", "transfergrid", "table").returncode == 0
    assert python("-m", "transfergrid", "strategy=nothing").returncode == 2
    assert not (here / "HARM").exists()


# What the user allows --------------------------------------------------------------------------

OWN = """
import os
from os import system
from subprocess import Popen
from transfergrid.records.training import Training


class Mine(Training):
    pass
"""


@pytest.fixture
def own(here, monkeypatch):
    """A module of the user's in the working directory, that nobody has imported."""
    monkeypatch.setattr(sys, "path", sys.path[1:])
    monkeypatch.delitem(sys.modules, "my_own.parts", raising=False)
    (here / "my_own").mkdir()
    (here / "my_own" / "__init__.py").write_text("")
    (here / "my_own" / "parts.py").write_text(OWN)
    return "my_own.parts.Mine"


def test_a_class_that_the_user_allows_is_built_and_known(own, here):
    with pytest.raises(ForeignNameError, match="if it is yours, add --allow my_own"):
        build({"_target_": own})
    assert code_fingerprint(own) == ""
    import_module(VERBS["table"])
    with pytest.raises(SystemExit):
        import_module(VERBS["list"]).command(["--allow", "my_own,other", "--help"])
    assert trust.allowed() == ["my_own", "other"]
    with listening(here) as heard:
        assert len(code_fingerprint(own)) == 16
    assert [line for line in heard if line.startswith("imports")] == []
    assert "my_own" not in sys.modules, "its code is looked up, not run"
    assert build({"_target_": own, "steps": 7}).steps == 7


def test_a_class_inside_a_function_is_no_name_for_another_process(monkeypatch):
    monkeypatch.setattr(trust, "_named", {})
    trust.vouch({"_target_": "mine.Strategy", "of": {"_target_": "mine.make.<locals>.Strategy"}})
    assert trust.allowed() == ["mine.Strategy"]
    trust.allow(trust.allowed())  # as a worker does, which refuses what is no name


@pytest.mark.parametrize("name", ["system", "Popen", "os.system", "os"])
def test_what_an_allowed_module_has_imported_is_not_its_own(own, name):
    trust.allow("my_own")
    with pytest.raises(BadInputError):
        build({"_target_": f"my_own.parts.{name}"})


def test_what_the_user_wrote_himself_is_his_word_to_the_letter(own):
    trust.vouch({"target": {"_target_": own}})
    assert build({"_target_": own}).steps == 200
    with pytest.raises(ForeignNameError):
        build({"_target_": "my_own.parts.Popen", "args": ["true"]})


def test_whoever_holds_an_object_vouches_for_its_class(own, monkeypatch):
    monkeypatch.syspath_prepend(".")
    mine = import_module("my_own.parts").Mine(steps=3)
    assert build(config_of(mine)) == mine


@pytest.mark.parametrize("name", ["", "my-own", "a b", "../evil", "os;x"])
def test_names_that_are_none(here, name):
    with pytest.raises(BadInputError, match="give the name of a module"):
        trust.allow([name])


def test_files_that_libraries_would_open_by_themselves(tmp_path):
    options = {"checkpoint_path": "evil.pth"}
    with pytest.raises(BadInputError, match=r"checkpoint_path: weights are read by source\.file"):
        TimmArchitecture("resnet18", options=options).check()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "timm_wrapper"}))
    with pytest.raises(BadInputError, match="give source=timm"):
        read_config(tmp_path, {}, "it")
    with pytest.raises(BadInputError, match="no such package"):
        existing("package:__main__/x")
