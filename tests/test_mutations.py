"""Hundreds of seeded ways in which files are wrong: nothing gives way, and the rest is judged.

The damage is that of `experiments/reliability`, which draws any number of mutations over all verbs;
here those that take seconds each are left out, and one of each is tried in tests of their own.
"""

import os
import sys
from pathlib import Path

import pytest

from transfergrid.records.errors import BadInputError

RELIABILITY = Path(__file__).parents[1] / "experiments" / "reliability"
COUNT, OF_DATA = 300, 150


@pytest.fixture(scope="module")
def harness():
    """Return the modules of the experiment, with its listener set up; a hook cannot be removed."""
    sys.path.insert(0, str(RELIABILITY))
    try:
        import mutations
        import pristine
    finally:
        sys.path.remove(str(RELIABILITY))
    sys.addaudithook(mutations.LISTENER)
    return mutations, pristine


@pytest.fixture(scope="module")
def study(harness, tmp_path_factory):
    _, pristine = harness
    root = tmp_path_factory.mktemp("pristine")
    return pristine.build(root, with_model=False)


def test_mutations_break_nothing(harness, study, tmp_path):
    mutations, _ = harness
    found = mutations.broken(study, range(COUNT), tmp_path / "work", light=True)
    assert found == {}


def test_the_harness_hears_what_it_listens_for(harness, study, tmp_path, monkeypatch):
    """A test that cannot fail tells nothing: an import, a lost cell and a traceback are heard."""
    mutations, _ = harness
    work = tmp_path / "work"
    mutations.restored(study.root, work)
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(work))
    before = mutations.arms_of(mutations.run("verdicts", "results", "--format", "json").out)
    assert len(before) == 6

    def imports(words):
        import evil_module  # noqa: F401

        raise RuntimeError("a fault")

    monkeypatch.setattr(mutations, "main", imports)
    mutation = mutations.Mutation("results/x", "none", ("verdicts", "results"))
    told = "\n".join(mutations.faults(study, work, mutation, before))
    assert "import evil_module" in told
    assert "RuntimeError: a fault" in told


def test_every_mutation_is_undone(harness, study, tmp_path):
    mutations, _ = harness
    import random

    work = tmp_path / "work"
    for seed in range(40):
        mutations.restored(study.root, work)
        before = contents(work)
        mutations.drawn(study, work, random.Random(seed))
    mutations.restored(study.root, work)
    assert contents(work) == before == contents(study.root)


@pytest.fixture(scope="module")
def data(harness, tmp_path_factory):
    """Return the module that damages data sets, and a folder of sound ones."""
    import data_mutations  # the harness has put its folder on the path

    root = tmp_path_factory.mktemp("data")
    data_mutations.build_data(root)
    return data_mutations, root


def test_mutations_of_data_sets_break_nothing(data, tmp_path):
    data_mutations, root = data
    found = data_mutations.broken(root, range(OF_DATA), tmp_path / "work")
    assert found == {}


def test_each_sound_data_set_is_read(data, monkeypatch):
    data_mutations, root = data
    monkeypatch.chdir(root)
    for target in data_mutations.TARGETS.values():
        data_mutations.read(target)


def test_the_harness_hears_what_data_sets_do(data, tmp_path, monkeypatch):
    """A test that cannot fail tells nothing: an import, a wait and a line without a name."""
    data_mutations, root = data
    work = tmp_path / "work"
    data_mutations.restored(root, work)
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(work))
    os.mkfifo(work / "pipe")
    monkeypatch.setattr(data_mutations, "SECONDS", 1)

    def heard(read):
        monkeypatch.setattr(data_mutations, "read", read)
        mutation = data_mutations.Mutation("pipe", "none", "texts.csv")
        return "\n".join(data_mutations.faults(work, mutation))

    assert "SlowError" in heard(lambda target: (work / "pipe").read_bytes())
    assert "import evil" in heard(lambda target: __import__("evil"))
    assert "names no file" in heard(refuse)


def refuse(target):
    raise BadInputError("something is wrong")


def contents(root):
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }
