"""Classes as texts: descriptions where there are any, readable names where not."""

from pathlib import Path

import pytest

from composed import whole
from transfergrid.data.class_texts import class_texts, readable
from transfergrid.data.glyphs import Glyphs
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import build
from transfergrid.records.identity import config_digest

TREC = Path(__file__).parents[3] / "shared" / "data" / "text" / "trec6"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NUM:dist", "NUM dist"),
        ("polar_bear", "polar bear"),
        ("headOfState", "head Of State"),
        ("7", "7"),
        ("???", "???"),
        (" a-b ", "a b"),
    ],
)
def test_names_are_made_readable(name, words):
    assert readable(name) == words


def test_a_class_has_one_text_or_several_or_its_name():
    found = class_texts(["cat", "a_dog"], {"cat": ["a cat", "a kitten"]})
    assert found == (("a cat", "a kitten"), ("a dog",))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"cats": "x"}, "unknown class in descriptions 'cats'; did you mean cat?"),
        ({"cat": " "}, "class 'cat' has an empty text in descriptions"),
        ({"cat": []}, "descriptions of class 'cat' must be a text or a list of texts"),
        ({"cat": [1]}, "descriptions of class 'cat' must be a text or a list of texts"),
        ({"cat": "A  dog"}, "classes 'cat' and 'a_dog' are both called 'a dog'"),
    ],
)
def test_texts_that_tell_nothing_apart_are_refused(told, message):
    with pytest.raises(BadInputError) as caught:
        class_texts(["cat", "a_dog"], told)
    assert message in str(caught.value)


def test_classes_that_are_not_kept_may_be_described():
    told = {"A": "first letter", "C": "third letter"}
    letters = Glyphs(characters="ABC", only=["C", "B"], descriptions=told)
    assert letters.class_texts == (("B",), ("third letter",))


def test_descriptions_are_part_of_what_a_target_is_where_there_are_any():
    plain = whole("target=glyph_letters")["target"]
    told = {**plain, "descriptions": {"A": "a pointed letter"}}
    assert config_digest({**plain, "descriptions": None}) == config_digest(plain)
    assert config_digest(told) != config_digest(plain)
    older = {key: value for key, value in plain.items() if key != "descriptions"}
    assert config_digest(older) == config_digest(plain)


@pytest.mark.skipif(not TREC.is_dir(), reason="needs the data of the studies")
def test_the_fine_classes_of_trec_are_a_target_each_with_a_definition(monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_DATA", str(TREC.parents[1]))
    domain = build(whole("target=trec_fine")["target"])
    domain.check()
    outline = domain.outline()
    assert (len(domain.classes), sum(outline.pool), sum(outline.test)) == (50, 5452, 500)
    assert sum(count == 0 for count in outline.test) == 8
    texts = dict(zip(domain.classes, domain.class_texts, strict=True))
    assert texts["NUM:dist"] == ("linear measures",)
    assert all(text not in (name, "") for name, (text,) in texts.items())


HELD_OUT = "ABBR:exp,ENTY:animal,ENTY:color,ENTY:food,ENTY:plant,NUM:dist,NUM:speed,NUM:period"


@pytest.mark.skipif(not TREC.is_dir(), reason="needs the data of the studies")
def test_episodes_are_drawn_of_fine_classes_that_are_held_out(monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_DATA", str(TREC.parents[1]))
    words = ("target@target.domain=trec_fine", f"target.domain.only=[{HELD_OUT}]")
    sizes = ("target.queries=4", "target.episodes=3")
    domain = build(whole("target=episodes", *words, *sizes)["target"])
    domain.check()
    loaded = domain.load()
    assert set(loaded.test.whole.labels) == set(range(8)), "of eight classes and no other"
    assert len(loaded.test) == 3 * 5 * 4
    assert loaded.test.read(loaded.rounds.query(0))[0].endswith("?")
