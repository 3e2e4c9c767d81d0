"""`source=[a,b]` is one source; what cannot be one is told in one line."""

import pytest
from hydra.types import RunMode

from composed import asked, loader, planned
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import build, config_of
from transfergrid.records.identity import config_digest
from transfergrid.verbs.configs.requests import parse, values_of
from transfergrid.verbs.configs.several_sources import expanded, members, split
from transfergrid.verbs.configs.typed_words import prepared

INVERTED = "'glyph_digits(domain.inverted=true)'"


def sources(*words, **more):
    return asked(*words, **more).sources


def test_a_list_is_one_value_of_the_axis():
    made = sources("source=[glyph_digits,glyph_letters],glyph_letters,glyph_digits")
    assert [one.name for one in made] == [
        "glyph_digits+glyph_letters",
        "glyph_letters",
        "glyph_digits",
    ]
    whole, letters, digits = (one.config for one in made)
    assert {part["characters"] for part in whole["domain"]["parts"]} == {
        letters["domain"]["characters"],
        digits["domain"]["characters"],
    }
    assert {**whole, "domain": None, "about": None} == {**digits, "domain": None, "about": None}


def test_however_it_is_typed_it_is_one_source():
    typed = (
        ["source=[glyph_digits,glyph_letters]"],
        ["source=[glyph_letters,glyph_digits]"],
        ["source=trained_here", "target@source.domain=[glyph_digits,glyph_letters]"],
        ["source=glyph_letters", "target@source.domain=[glyph_letters,glyph_digits]"],
    )
    assert len({sources(*words)[0].digest for words in typed}) == 1


def test_several_domains_of_one_source_are_called_by_them():
    words = ["source=trained_here", "target@source.domain=[mnist_m,glyph_digits],mnist"]
    several, one = sources(*words, "source.training.steps=7")
    assert several.name == "trained_here(domain=glyph_digits+mnist_m,training.steps=7)"
    assert one.name == "trained_here(domain=mnist,training.steps=7)"
    assert sorted(several.config["domain"]["names"]) == ["glyph_digits", "mnist_m"]


def test_a_list_of_one_is_that_source():
    (one,), (other,) = sources("source=[glyph_digits]"), sources("source=glyph_digits")
    assert (one.name, one.config) == (other.name, other.config)
    (lone,) = sources("source=trained_here", "target@source.domain=[glyph_letters]")
    (plain,) = sources("source=trained_here", "target@source.domain=glyph_letters")
    assert lone.digest == plain.digest


def test_keys_inside_hold_for_each_of_them():
    (made,) = sources(f"source=[glyph_digits,{INVERTED}]", "source.training.steps=7")
    assert made.config["training"]["steps"] == 7
    assert sorted(str(part["inverted"]) for part in made.config["domain"]["parts"]) == [
        "None",
        "True",
    ]


def test_the_source_that_is_built_learns_from_the_union():
    (made,) = sources("source=[glyph_digits,glyph_letters]")
    source = build(made.config)
    source.check()
    assert config_digest(config_of(source)) == made.digest, "made by hand it is the same source"
    assert len(source.domain.classes) == 36
    assert source.told_card().trained_on == ("Glyphs",)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["source=[glyph_digits,mnist]"], "glyph_digits has test_resnet, mnist has small_cnn"),
        (["source=[glyph_digits,glyph_digits]"], "the same source twice, glyph_digits"),
        (["source=[glyph_digits,trained_here]"], "twice, glyph_digits and trained_here"),
        (
            ["source=[glyph_digits,'glyph_digits(training.steps=5)']"],
            "trained in one way, and glyph_digits and glyph_digits(training.steps=5) differ in "
            "training.steps",
        ),
        (
            ["source=[glyph_digits,'glyph_digits(architecture.size=20)']"],
            "one architecture, and glyph_digits has test_resnet, "
            "glyph_digits(architecture.size=20) has test_resnet, of another size",
        ),
        (["source=[glyph_digits,placebo]"], "no sources of one kind"),
        (
            ["source=[mobilenetv2_birds,mobilenetv2_insects]"],
            "weights of different sources cannot be pooled",
        ),
        (["source=[[glyph_digits],mnist]"], "a list of sources holds names"),
        (["source=leave_one_out([mnist])"], "give two or more"),
        (["source=leave_one_out(mnist,glyph_digits)"], "write leave_one_out([a,b,c])"),
        (["strategy=leave_one_out([scratch,sam])"], "leave_one_out is for sources"),
        (["strategy=[scratch,sam]"], "to try each give strategy=scratch,sam"),
        (["target=[digits,mnist]"], "to try each give target=digits,mnist"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_one_source_is_told_in_one_line(words, told):
    with pytest.raises(BadInputError) as refused:
        sources(*words)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


# Words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("source=[a,b]", ["[a,b]"]),
        ("source=[a, b],a", ["[a,b]", "a"]),
        ("source=[a,b(c=1)]", ["[a,'b(c=1)']"]),
        ("source=[a,b(c=1)],b(c=1),a", ["[a,'b(c=1)']", "'b(c=1)'", "a"]),
        ("target@source.domain=[x,y]", ["[x,y]"]),
        ("source=leave_one_out([a,b])", ["a", "b", "[a,b]"]),
        (
            "source=leave_one_out([a,b,c(d=1)]),e",
            ["a", "b", "'c(d=1)'", "[a,b,'c(d=1)']", "[a,b]", "[a,'c(d=1)']", "[b,'c(d=1)']", "e"],
        ),
    ],
)
def test_hydra_takes_lists_of_sources_as_several_values(typed, read):
    word = prepared(typed, runs=True)
    composed = loader().load_configuration("config", [word], run_mode=RunMode.MULTIRUN)
    assert composed is not None, "what it is stays open until its cells are made"
    (override,) = parse([word])
    assert values_of(override) == read


def test_a_study_may_ask_for_lists_too():
    made = sources(params={"source": "leave_one_out([glyph_digits,glyph_letters])"})
    assert [one.name for one in made] == [
        "glyph_digits",
        "glyph_letters",
        "glyph_digits+glyph_letters",
    ]


def test_only_commas_outside_of_brackets_and_quotes_part():
    assert split("a,b(c=1,d=2),[e,f],'g,h'") == ["a", "b(c=1,d=2)", "[e,f]", "'g,h'"]
    assert members("[a,b],[c]") is None
    assert members("[a,b(c=[1,2])]") == ["a", "b(c=[1,2])"]
    assert expanded("source=[a,b]") == "source=[a,b]"


# Plans ------------------------------------------------------------------------------------------


def test_pooled_strategies_take_the_union_and_are_compared_on_it():
    made = planned(f"source=[glyph_digits,{INVERTED}]", "strategy=coral", "labels=5")
    names = {cell.names.strategy: cell.names.source for cell in made.cells}
    assert names["coral"] == names["source_and_target"]
    assert "+" in names["coral"]
    assert names["scratch"] is None


def test_unlike_classes_are_no_union_where_classes_are_matched():
    words = ["source=[glyph_digits,glyph_letters]", "target=glyph_digits"]
    with pytest.raises(BadInputError, match=r"same classes in all domains of glyph_digits\+glyph"):
        planned(*words, "strategy=full_finetuning")
    with pytest.raises(BadInputError, match="same classes in all domains"):
        planned(*words, "strategy=source_only")
