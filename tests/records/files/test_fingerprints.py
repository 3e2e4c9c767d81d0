import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transfergrid.records import seeds
from transfergrid.records.errors import BadInputError
from transfergrid.records.files import fingerprints
from transfergrid.records.files.fingerprints import (
    content_hashes,
    existing,
    file_facts,
    fingerprint,
)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(folder))
    return folder


@pytest.fixture
def remembers(monkeypatch):
    """Remember even files that were written just now."""
    monkeypatch.setattr(fingerprints, "SETTLED_SECONDS", -60)


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    for name, text in {"a/1": "one", "a/2": "two", "b/1": "three"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_file_is_its_contents(tmp_path):
    (tmp_path / "x").write_text("abc")
    assert fingerprint(tmp_path / "x") == "ba7816bf8f01cfea"  # FIPS 180-2, appendix B.1
    (tmp_path / "y").write_text("abc")
    assert fingerprint(tmp_path / "y") == "ba7816bf8f01cfea"


def test_place_spelling_order_and_hidden_files_do_not_matter(tree, tmp_path, monkeypatch):
    before = fingerprint(tree)
    other = tmp_path / "other"
    for file in sorted(tree.rglob("*"), reverse=True):
        if file.is_file():
            (other / file.relative_to(tree)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, other / file.relative_to(tree))
    (other / ".hidden").write_text("x")
    (other / ".git").mkdir()
    (other / ".git" / "x").write_text("x")
    monkeypatch.chdir(tmp_path)
    for spelled in ("other", "./other/", str(other), "tree/../other", other):
        assert fingerprint(spelled) == before


def test_any_change_matters(tree):
    seen = {fingerprint(tree)}
    (tree / "a/1").write_text("0ne")
    seen.add(fingerprint(tree))
    (tree / "a/1").rename(tree / "a/3")
    seen.add(fingerprint(tree))
    (tree / "a/3").rename(tree / "b/3")
    seen.add(fingerprint(tree))
    (tree / "c").write_text("")
    seen.add(fingerprint(tree))
    assert len(seen) == 5


names = st.text(
    st.characters(codec="utf-8", exclude_characters="./\\\0\r\n"), min_size=1, max_size=8
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(names, st.binary(max_size=20), min_size=1, max_size=4))
def test_a_moved_tree_keeps_its_fingerprint_under_any_names(tmp_path_factory, content):
    roots = [tmp_path_factory.mktemp("tree") for _ in range(2)]
    for root, items in zip(roots, (content.items(), reversed(content.items())), strict=True):
        for name, data in items:
            (root / name).write_bytes(data)
    assert fingerprint(roots[0]) == fingerprint(roots[1])


@pytest.mark.parametrize("path", ["nowhere", ""])
def test_what_is_missing_is_named(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError, match=f"no such file or folder: {path}"):
        fingerprint(path)


def test_a_link_is_what_it_points_to_and_circles_end(tree, tmp_path):
    before = fingerprint(tree)
    (tmp_path / "link").symlink_to(tree)
    assert fingerprint(tmp_path / "link") == before
    (tree / "a" / "up").symlink_to(tree)
    assert fingerprint(tree) == before


def test_a_link_to_nothing_is_no_file_for_whoever_reads_the_folder_names_it(tree):
    before = fingerprint(tree)
    (tree / "gone").symlink_to(tree / "nowhere")
    assert fingerprint(tree) == before
    with pytest.raises(BadInputError, match=r"cannot read .*gone"):
        content_hashes(tree, ["gone"])


def test_unchanged_files_are_not_measured_again(tree, remembers):
    calls = []

    def measure(file):
        calls.append(file.name)
        return file.read_text()

    assert file_facts(tree, ["a/1", "a/2"], "text", measure) == {"a/1": "one", "a/2": "two"}
    assert file_facts(tree, ["a/1", "a/2"], "text", measure) == {"a/1": "one", "a/2": "two"}
    assert len(calls) == 2
    file_facts(tree, ["a/1"], "another kind", measure)
    assert len(calls) == 3
    (tree / "a/1").write_text("new")
    assert file_facts(tree, ["a/1", "a/2"], "text", measure)["a/1"] == "new"
    assert len(calls) == 4


def test_contents_changed_behind_an_old_time_stamp_are_seen(tree, remembers):
    before = fingerprint(tree)
    status = (tree / "a/1").stat()
    (tree / "a/1").write_text("eno")
    os.utime(tree / "a/1", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint(tree) != before


def test_brand_new_files_are_not_remembered(tree, cache):
    fingerprint(tree)
    assert not list(cache.rglob("*.json"))


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "null", '{"a/1": 3}', '{"a/1": [[1], {}]}', "\xff"]
)
def test_a_broken_memory_is_ignored_and_replaced(tree, cache, remembers, damage):
    before = fingerprint(tree)
    (file,) = cache.rglob("*.json")
    file.write_text(damage, encoding="latin-1")
    assert fingerprint(tree) == before
    assert "sha256" in file.read_text()


def test_a_memory_that_cannot_be_written_costs_nothing_but_time(
    tree, tmp_path, monkeypatch, remembers
):
    before = fingerprint(tree)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path / "file"))
    assert fingerprint(tree) == before


def test_many_processes_write_side_by_side(tree, cache, remembers):
    for i in range(50):
        (tree / f"f{i}").write_text(str(i))
    with ProcessPoolExecutor(4, get_context("fork")) as workers:
        found = list(workers.map(fingerprint, [tree] * 16))
    assert len(set(found)) == 1
    assert fingerprint(tree) == found[0]
    assert [file.suffix for file in cache.rglob("*") if file.is_file()] == [".json"]


def test_hashes_are_of_the_files_asked_for(tree):
    assert set(content_hashes(existing(tree), ["a/1"])) == {"a/1"}


def test_a_path_can_lie_in_an_installed_package():
    assert existing("package:transfergrid/data").name == "data"
    assert (existing("package:transfergrid/data") / "domain.py").is_file()
    assert fingerprint("package:transfergrid/records/seeds.py") == fingerprint(seeds.__file__)


@pytest.mark.parametrize("path", ["package:no_such_thing/model", "package:", "package:a.b/c"])
def test_a_package_that_is_not_installed_is_named(path):
    with pytest.raises(BadInputError, match="no such package here; pip install"):
        existing(path)


def test_a_path_that_its_package_lacks_is_bad_input():
    with pytest.raises(BadInputError, match="no such file or folder"):
        existing("package:transfergrid/no/such/place")


def test_the_home_of_somebody_who_is_not_there_is_no_traceback():
    with pytest.raises(BadInputError, match="no such file or folder: ~nobody_here/x"):
        existing("~nobody_here/x")
