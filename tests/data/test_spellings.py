"""When two spellings are one name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfergrid.records.files.spellings import (
    alike,
    is_missing,
    listed,
    near,
    same,
    shown,
    together,
)

SAME = [
    ("7", "7.0"),
    ("7", "+7."),
    ("-3", "-3.00"),
    ("caf\u00e9", "cafe\u0301"),  # é as one character and as two
    ("cat", "cat\u200b"),  # zero-width space
    ("cat", "\ufeffcat"),  # byte order mark
    ("hot dog", "hot\u00a0dog"),  # no-break space
    ("hot dog", " hot  dog "),
    ("\u2764", "\u2764\ufe0f"),  # a heart, and one told to be shown in colour
]
NEAR = [
    ("007", "7"),
    ("P7", "p7"),
    ("P7", "P07"),
    ("p 7", "P-7"),
    ("P7", "p-07"),
    ("7a", "7 A"),
    ("p_7", "p\u20137"),
    ("1e5", "100000"),
    ("1.1", "1.10"),
    ("stra\u00dfe", "STRASSE"),
    ("\uff17", "7"),  # a full-width seven
]
APART = [
    ("7", "70"),
    ("1-12", "11-2"),
    ("1.05", "1.5"),
    ("0.07", "0.007"),
    ("P7", "P8"),
    ("a0", "a"),
    ("a1b", "a1c"),
    ("1" * 40, "1" * 39 + "2"),  # a Decimal rounded to 28 digits cannot tell them
    ("1e999999999", "2e999999999"),
    ("cafe", "caf\u00e9"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_these_are_one_name(one, other):
    assert same(one) == same(other)


@pytest.mark.parametrize(("one", "other"), NEAR)
def test_these_are_near_and_not_one(one, other):
    assert same(one) != same(other)
    assert near(one) == near(other)


@pytest.mark.parametrize(("one", "other"), APART)
def test_these_are_two(one, other):
    assert same(one) != same(other)
    assert near(one) != near(other)


@given(st.text(max_size=8), st.text(max_size=8))
def test_what_is_the_same_is_near(one, other):
    assert near(same(one)) == near(one)
    if same(one) == same(other):
        assert near(one) == near(other)


def test_the_plainest_spelling_comes_first_in_whatever_order():
    for names in (["7.0", "8", "7", "07"], ["07", "7", "8", "7.0"]):
        assert alike(names, same) == [["7", "7.0"]]
        assert alike(names, near) == [["7", "07", "7.0"]]
    assert alike(["a", "a"], same) == []


def test_nothing_that_is_shown_stays_invisible():
    assert shown("caf\u00e9") == "'caf\u00e9'"
    assert listed([["cat", "cat\u200b"], ["\u00e9", "e\u0301"]]) == (
        r"'cat' and 'cat\u200b', '" + "\u00e9" + r"' and 'e\u0301'"
    )
    assert listed([["a", "A"]] * 4).endswith("'a' and 'A', ...")


@pytest.mark.parametrize("name", ["a;b", "b, a", "a|b", "a & b", "a/b", "A;b"])
def test_a_name_made_of_others_is_found(name):
    assert sorted(part.lower() for part in together(name, ["a", "A", "b", name])) == ["a", "b"]


@pytest.mark.parametrize("name", ["a;c", "ab", "a", "a b"])
def test_other_names_are_not(name):
    assert together(name, ["a", "b"]) == []


def test_what_is_written_for_nothing():
    assert all(map(is_missing, ["None", "NA", "n/a", "NaN", "<NA>", "?", " ", "\u200b"]))
    assert not any(map(is_missing, ["no", "0", "normal", "Nancy"]))
