"""A file's fingerprint is of what it does, and of no sentence in it."""

import hashlib

import pytest

from transfergrid.records import code
from transfergrid.records.code import code_fingerprint, known_as, statements
from transfergrid.records.trust import source_file

FILE = b'''"""What it is."""

from here import (
    one,  # the first
    two,
)

LEAST = 3
"""What LEAST is."""


class Own:
    """What Own is.

    More of it.
    """

    text = """no docstring
    # nor a comment"""

    def act(self):  # a remark
        """Do it."""
        return one(LEAST)
'''


def test_sentences_comments_and_imports_do_not_count():
    other = (
        FILE.replace(b"What", b"That").replace(b"the first", b"a").replace(b"from here", b"from x")
    )
    other = other.replace(b"  # a remark", b"").replace(b"\n\nLEAST", b"\n\n\n# so\nLEAST")
    assert other != FILE
    assert statements(other) == statements(FILE)


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (b"LEAST = 3", b"LEAST = 4"),
        (b"no docstring", b"no doc"),
        (b"    # nor a comment", b"    # nor one"),
        (b"return one(LEAST)", b"return two(LEAST)"),
        (b"def act", b"def do"),
    ],
)
def test_statements_do(was, now):
    assert statements(FILE.replace(was, now)) != statements(FILE)


def test_defaults_that_are_searched_anew_do_not_count():
    """A cell's settings are in its config; what else a class sets counts."""
    was = (
        b"class A:\n    badges = ('x',)\n    space = {\n        'a': rates(1),\n    }\n    b = 1\n"
    )
    assert statements(was) == b"class A:\n    b = 1"
    assert statements(was.replace(b"rates(1)", b"rates(3)")) == statements(was)
    assert statements(was.replace(b"b = 1", b"b = 2")) != statements(was)
    assert statements(b"space = 1\nfor space in x:\n    y()") != b"y()"  # outside of classes


def test_what_python_cannot_read_is_known_by_its_bytes():
    assert statements(b"def (") == b"def ("
    assert statements(b"\xff\xfe") == b"\xff\xfe"


def test_records_of_older_versions_know_the_file_by_its_bytes():
    target = "transfergrid.strategies.baselines.scratch.Scratch"
    content = source_file(target).read_bytes()
    assert known_as(target) == {code_fingerprint(target), hashlib.sha256(content).hexdigest()[:16]}
    assert known_as("os.system") == frozenset()
    assert code_fingerprint("os.system") == ""
    assert code.statements(content) != content
