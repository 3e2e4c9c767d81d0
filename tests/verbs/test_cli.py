"""What a person meets at the command line, as processes of their own."""

import csv
import io
import json
import os
import pickle
import re
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from composed import planned
from transfergrid.records.errors import BadInputError
from transfergrid.runs.checking import check_parts
from transfergrid.verbs import listing
from transfergrid.verbs.cli import main

TINY = ["training.steps=2", "trainer.workers=1", "trainer.accelerator=cpu", "references=[]"]


def transfergrid(*arguments, folder, timeout=240, **environment):
    """Run the command in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "transfergrid", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error", **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def refused(tmp_path, monkeypatch, capfd):
    """Return the one line with which a request is refused; nothing may be left behind."""
    return partial(_refused, tmp_path, monkeypatch, capfd)


def _refused(folder, monkeypatch, capfd, *arguments):
    before = sorted(folder.rglob("*"))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with warnings.catch_warnings(), pytest.raises(SystemExit) as left:
        main(list(arguments))
    shown = capfd.readouterr()
    assert left.value.code == 2
    for line in shown.out.splitlines():  # nothing but what takes its time
        assert line.startswith(("starting ", "reading target ", "checking source ")), line
    assert sorted(folder.rglob("*")) == before
    (line,) = shown.err.splitlines()
    assert line.startswith("transfergrid: ")
    return line


# Bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("source=glyph_digts", "unknown source 'glyph_digts'; did you mean glyph_digits?"),
        ("-m source=glyph_digits,glyph_digts", "did you mean glyph_digits?"),
        ("strategy=full_finetunning", "did you mean full_finetuning?"),
        ("verdict.margins.digit=3", "unknown target in verdict.margins 'digit'; did you mean dig"),
        ("strategy_defaults.scratch=3", "give values by strategy and argument, as in strate"),
        ("strategy_defaults=few", "strategy_defaults=few: give values by strategy and argument"),
        ("strategy_defaults.scratch.lr=3", "strategy_defaults.scratch has no key strategy_defau"),
        ("strategy=kd", "unknown strategy 'kd'; did you mean distillation?"),
        ("-m strategy=scratch,lp-ft", "did you mean linear_probe_then_finetuning?"),
        ("references=[llrd]", "did you mean layerwise_lr?"),
        ("target=digts", "unknown target 'digts'; did you mean digits?"),
        ("study=digit", "unknown study 'digit'; did you mean digits?"),
        ("training=defualt", "did you mean default?"),
        ("tabel", "unknown verb 'tabel'; did you mean table?"),
        ("list strategis", "did you mean strategies?"),
        ("table --fromat=csv", "unrecognized arguments: --fromat=csv"),
        ("sorce=glyph_digits", "unknown key 'sorce'; did you mean source?"),
        ("+sorce=glyph_digits", "unknown key 'sorce'; did you mean source?"),
        ("source.modl=resnet18", "did you mean model?"),
        ("trainer.worker=2", "did you mean workers?"),
        ("trainer.workers=0", "trainer.workers must be a whole number from 1, or auto: 0"),
        ("trainer.loader_workers=-1", "trainer.loader_workers must be a whole number from 0: -1"),
        ("trainer.deterministic=maybe", "must be true or false, or warn, not 'maybe'"),
        ("trainer.accelerator=gpuu", "did you mean gpu?"),
        ("tracking.proyect=x", "takes no 'proyect'"),
        ("references=[majorty]", "unknown strategy 'majorty'; did you mean majority?"),
        ("hydra.foo=1", "there is no key hydra.foo"),
        ("results.x=1", "results.x"),
        ("labels=two", "labels=two: give 0, a whole number per class, or all"),
        ("labels=-1", "labels=-1"),
        ("seed=1.5", "seed=1.5: give a whole number from 0"),
        ("seed=range(2", "give a whole number from 0; a bracket is not closed"),
        ("verdict", "write verdict=VALUE, without spaces; the verb is verdicts"),
        ("seed=range(0)", "names nothing"),
        ("source=null", "source=null: give a value for source"),
        ("~strategy", "~strategy: give a value for strategy"),
        ("debug=maybe", "debug=maybe: give true or false"),
        ("keep=bset", "keep=bset: give none, best or all"),
        ("results=", "results"),
        ("results=/proc/nowhere", "cannot write results to '/proc/nowhere'"),
        ("training.steps=0", "training.steps"),
        ("source=trained_here source.training.lr=-1", "lr must be above 0"),
        ("source=timm", "source=timm also needs source.model=..."),
        ("target=image_folder", "target=image_folder also needs target.root=..."),
        ("target=image_folder target.root=nowhere", "nowhere"),
        ("target=arrays target.file=nowhere.npz", "nowhere.npz"),
        ("source=checkpoint source.model=resnet18 source.file=no.pth", "no.pth"),
        ("hydra.mode=RUN", "leave this out"),
        ("hydra.searchpath=[nowhere]", "nowhere"),
        ("--config-dir nowhere seed=1", "nowhere"),
        ("strategy=domain_adversarial source=placebo", "needs a labelled source domain"),
        ("strategy=domain_adversarial source=glyph_letters", "needs the same classes"),
        ("labels=0", "full_finetuning needs target labels, and labels=0 gives none"),
        ("strategy=", "give a value for strategy"),
        ("table nowhere", "no results in 'nowhere'"),
    ],
)
def test_bad_input_gets_one_line(refused, arguments, told):
    assert told in refused(*arguments.split())


@pytest.mark.parametrize("arguments", ["tabel", "sorce=timm", "strategy=skratch", "labels=-1"])
def test_so_it_is_as_a_process_of_its_own(tmp_path, arguments):
    done = transfergrid(arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("transfergrid: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def photos(folder, classes=("cat", "dog"), n=3, split=""):
    for name in classes:
        (folder / split / name).mkdir(parents=True)
        for i in range(n):
            Image.new("L", (8, 8), 40 * i).save(folder / split / name / f"{i}.png")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda root: root.mkdir(), "photos"),
        (lambda root: photos(root, ["cat"], split="train"), "class"),
        (lambda root: photos(root), "test_split"),
        (
            lambda root: (
                (photos(root, split="train"), (root / "train/cat/1.png").write_text("x"))
                and photos(root, split="test")
            ),
            "1.png",
        ),
        (
            lambda root: (photos(root, split="train"), photos(root, ["cat", "fox"], split="test")),
            "fox",
        ),
    ],
    ids=["empty", "one class", "no test", "broken image", "classes that train lacks"],
)
def test_a_folder_that_cannot_be_a_target(tmp_path, refused, make, told):
    make(tmp_path / "photos")
    assert told in refused("target=image_folder", "target.root=photos")


def test_a_pickle_where_weights_are_expected(tmp_path, refused):
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Path("x")))
    request = ["source=checkpoint", "source.model=test_resnet", "source.file=w.pth"]
    assert "unpickles nothing" in refused(*request)


def test_pickled_arrays_are_not_opened(tmp_path, refused):
    np.savez(tmp_path / "a.npz", x=np.array([Path("x")]), y=np.array([0]))
    assert "a.npz" in refused("target=arrays", "target.file=a.npz")


def test_weights_that_do_not_fit_are_told_before_anything_runs(tmp_path, refused):
    import torch

    torch.save({"stem.weight": torch.zeros(1)}, tmp_path / "w.pth")
    request = ["source=checkpoint", "source.model=test_resnet", "source.file=w.pth"]
    told = refused(*request, *TINY)
    assert "does not fit timm test_resnet" in told
    assert "missing" in told
    assert "unexpected (stem.weight)" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            "strategy=layerwise_lr strategy.granularity=medium",
            "granularity 'medium'; there is coarse, fine",
        ),
        (
            "strategy=distillation strategy.teacher.lr_factor=fast",
            "above 0, or null, not 'fast'",
        ),
        ("source.model=test_resnett", "did you mean test_resnet?"),
        ("strategy=scratch source.architecture.options={depth:3}", "timm cannot make test_resnet"),
    ],
)
def test_parts_that_cannot_be_built(arguments, told):
    def built():
        return check_parts(planned(*arguments.split()).cells[-1])

    with pytest.raises(BadInputError) as caught:
        built()
    assert told in str(caught.value)


# Hydra's conventions ----------------------------------------------------------------------------


def test_help_names_what_there_is(tmp_path):
    done = transfergrid("--help", folder=tmp_path)
    assert done.returncode == 0
    for word in (
        "transfergrid",
        "source: ",
        "full_finetuning",
        "labels",
        "--cfg job",
        "study",
        "--over BASELINE",
        "--by-group",
    ):
        assert word in done.stdout
    assert not list(tmp_path.iterdir())


def test_cfg_job_shows_what_was_asked(tmp_path):
    request = ["--cfg", "job", "strategy=layerwise_lr", "strategy.decay=0.5", "labels=7"]
    done = transfergrid(*request, folder=tmp_path)
    assert done.returncode == 0
    assert "decay: 0.5" in done.stdout
    assert "labels: 7" in done.stdout
    part = transfergrid("--cfg", "job", "--package", "trainer", folder=tmp_path)
    assert part.stdout.startswith("# @package trainer")


def test_info(tmp_path):
    done = transfergrid("--info", "searchpath", folder=tmp_path)
    assert done.returncode == 0
    assert "conf" in done.stdout


def test_shell_completion(tmp_path):
    assert "complete" in transfergrid("-sc", "install=bash", folder=tmp_path).stdout
    for line, word in (
        ("transfergrid strategy=fe", "strategy=feature_extraction"),
        ("transfergrid strategy.lr", "strategy.lr_factor="),
    ):
        point = {"COMP_LINE": line, "COMP_POINT": str(len(line))}
        done = transfergrid("-sc", "query=bash", folder=tmp_path, **point)
        assert done.stdout.split() == [word]


def test_multirun_may_stand_anywhere(refused):
    for request in (["-m", "labels=1,x", "seed=1"], ["labels=1,x", "-m", "seed=1"]):
        assert "labels=x" in refused(*request)


# Verbs ------------------------------------------------------------------------------------------


KINDS = {
    "strategies": "full_finetuning",
    "sources": "glyph_digits",
    "targets": "image_folder",
    "training": "default",
    "studies": "digits",
    "tracking": "none",
    "scores": "knn",
}


@pytest.mark.parametrize("kind", KINDS)
def test_list(kind, capsys):
    assert listing.command([kind]) == 0
    shown = capsys.readouterr().out.splitlines()
    lines = dict(line.split(maxsplit=1) for line in shown if line)
    assert KINDS[kind] in lines
    assert all(len(help_line) > 10 for help_line in lines.values())


def test_a_list_is_for_programs_too(capsys):
    assert listing.command(["--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {(row["kind"], row["name"]) for row in rows} >= set(KINDS.items())
    assert all(list(row) == ["kind", "name", "help"] for row in rows)


# A strategy of one's own, end to end ------------------------------------------------------------

MODULE = '''
"""Full fine-tuning under another name."""
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning


class Mine(FullFinetuning):
    def __init__(self, lr_factor: float = 1.0, schedule: str | None = None, depth: int = 1) -> None:
        super().__init__(lr_factor, schedule)
        self.depth = depth
'''
YAML = """
# A strategy of my own.
_target_: my_strategy.Mine
lr_factor: 1.0
schedule: null
depth: 1
about:
  help: a strategy of my own
  version: 1
  paths: []
  tuning_trials: 0
  needs: {source: weights}
  baselines: {labelled: scratch, exploratory: [scratch_converged, feature_extraction]}
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder in which a grid with an outside strategy has run."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_strategy.py").write_text(MODULE)
    (folder / "my_conf" / "strategy").mkdir(parents=True)
    (folder / "my_conf" / "strategy" / "mine.yaml").write_text(YAML)
    request = ["--config-dir", "my_conf", "strategy=mine", "labels=2", "strategy.depth=2"]
    small = ["source.domain.per_class=4", "source.training.steps=2"]
    return folder, transfergrid(*request, *small, *TINY, folder=folder)


def test_a_strategy_from_the_current_folder_runs_with_its_baseline(own):
    folder, done = own
    assert done.returncode == 0, done.stderr
    assert "mine(depth=2)" in done.stdout
    assert "gain over scratch" in done.stdout
    assert "1 cell asked for; 1 more to compare with" in done.stdout
    assert len(list((folder / "results" / "cells").glob("*/*/record.json"))) == 2


def test_lines_where_the_output_is_no_terminal(own):
    assert re.search(
        r"^\[1/2(, .* to go)?\] scratch x digits, labels=2, seed=0: done$",
        own[1].stdout,
        re.M,
    )
    assert "\x1b" not in own[1].stdout


def test_its_mistakes_are_told_as_ones_own(own):
    request = ["--config-dir", "my_conf", "strategy=mine", "strategy.dept=2"]
    assert "did you mean depth?" in transfergrid(*request, folder=own[0]).stderr


def test_list_with_configs_of_ones_own(own):
    done = transfergrid("list", "strategies", "--config-dir", "my_conf", folder=own[0])
    assert re.search(r"^mine +inductive +parameters +a strategy of my own$", done.stdout, re.M)


def test_the_same_by_the_searchpath_is_the_same_cell_and_done(own):
    folder, _ = own
    request = ["hydra.searchpath=[my_conf]", "strategy=mine", "labels=2", "strategy.depth=2"]
    small = ["source.domain.per_class=4", "source.training.steps=2"]
    done = transfergrid(*request, *small, *TINY, folder=folder)
    assert done.returncode == 0, done.stderr
    assert "2 done before" in done.stdout


def test_the_table_again_in_every_format(own):
    folder, _ = own
    shown = {
        kind: transfergrid("table", "results", "--format", kind, folder=folder).stdout
        for kind in ("table", "markdown", "csv", "json")
    }
    rows = json.loads(shown["json"])
    assert {row["strategy"] for row in rows} == {"scratch", "mine(depth=2)"}
    assert [row["strategy"] for row in csv.DictReader(io.StringIO(shown["csv"]))] == [
        row["strategy"] for row in rows
    ]
    assert "| mine(depth=2) |" in shown["markdown"]
    assert max(map(len, shown["table"].splitlines())) <= 80
    wrong = transfergrid("table", "results", "--format", "xml", folder=folder)
    assert wrong.returncode == 2
    assert "unknown format 'xml'" in wrong.stderr
