"""Names side by side: what all share is said once, and no two are ever shown alike."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfergrid.report.wording.names import shortened, told, without_common


@dataclass(frozen=True)
class Arm:
    source: str | None
    strategy: str = "full_finetuning"


def test_names_are_cut_in_the_middle_and_stay_apart():
    cut = shortened(["resnet_imagenet_a_end", "resnet_imagenet_b_end", "short"], 12)
    assert cut["short"] == "short"
    assert all(len(name) <= 12 for name in cut.values())
    assert shortened(["abcdefghij"], 5) == {"abcdefghij": "ab…ij"}
    near = ["placebo_glyph_digits_x", "placebo_noise_digits_x"]
    assert len(set(shortened(near, 12).values())) == 2


@given(st.sets(st.text("ab(=,)", min_size=1, max_size=30), max_size=12), st.integers(9, 20))
def test_no_two_names_are_ever_shortened_alike(names, width):
    short = shortened(names, width)
    assert set(short) == names
    assert len(set(short.values())) == len(names)
    assert all(len(text) <= width for text in short.values())


def test_names_that_differ_in_the_middle_keep_a_piece_of_it():
    names = [f"mobilenetv2_imagenet(architecture.size={n}, and_more)" for n in (64, 96, 128)]
    short = shortened([*names, "mobilenetv2_insects(architecture.size=64, and_more)"], 16)
    for size, name in zip(("64", "96", "128"), names, strict=True):
        assert size in short[name]


def test_what_all_sources_share_is_said_once():
    arms = [Arm(f"mobilenetv2_{name}(architecture.size=64)") for name in ("birds", "insects")]
    arms.append(Arm("placebo(architecture.size=64,how=permuted)"))
    renamed, lines = told([*arms, Arm(None)])
    assert [arm.source for arm in renamed] == [
        "mobilenetv2_birds",
        "mobilenetv2_insects",
        "placebo(how=permuted)",
        None,
    ]
    assert lines == ["all sources: architecture.size=64"]


@pytest.mark.parametrize(
    "names",
    [
        ["a(size=64)", "b"],  # one of them has it not
        ["a(size=64)", "b(size=96)"],
        ["a(size=64)", "a"],
    ],
)
def test_what_not_all_share_stays(names):
    assert without_common(names) == ({name: name for name in names}, ())


def test_of_a_single_source_too_what_makes_it_another_one_stands_above():
    ((arm,), lines) = told([Arm("glyph_digits(training.steps=50)")])
    assert (arm.source, lines) == ("glyph_digits", ["all sources: training.steps=50"])


def test_overrides_are_split_outside_brackets_alone():
    names = ["a(options={x:1,y:2},size=64)#2bc8", "b(size=64,options={x:1,y:3}) text"]
    short, common = without_common(names)
    assert short == {names[0]: "a(options={x:1,y:2})#2bc8", names[1]: "b(options={x:1,y:3}) text"}
    assert common == ("size=64",)


def test_what_all_parts_of_joint_sources_share_is_said_once():
    names = ["a(size=64)", "a(size=64)+b(size=64,noise=1)", "b(noise=1,size=64)"]
    short, common = without_common(names)
    assert common == ("size=64",)
    assert list(short.values()) == ["a", "a+b(noise=1)", "b(noise=1)"]
    apart = ["a(size=64)+b", "a(size=64)"]  # one part bears it not
    assert without_common(apart) == ({name: name for name in apart}, ())
