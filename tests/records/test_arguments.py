"""Annotations are what values are held against; one sentence tells what was wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Interval, Len, Unit, doc
from pydantic import Field

from transfergrid.records.arguments import (
    Columns,
    Count,
    NotNegative,
    Options,
    Positive,
    Share,
    Shares,
    Whole,
    check_arguments,
    checked,
    taken_by,
)
from transfergrid.records.component import Component
from transfergrid.records.errors import BadInputError, check_known

Size = Annotated[int, Ge(4), Unit("pixels")]
Open = Annotated[float, Interval(gt=0, lt=1)]
Fielded = Annotated[float, Field(gt=0, le=2)]


@dataclass(frozen=True)
class Made(Component):
    """Of every kind of annotation that is checked, and some that are not."""

    flag: bool = True
    n: int = 1
    count: Count = 1
    whole: Whole = 0
    size: Size | None = None
    ratio: float = 0.5
    rate: Positive = 0.1
    decay: NotNegative = 0.0
    share: Share = 0.5
    inside: Open = 0.5
    fielded: Fielded = 1.0
    name: str = "a"
    mode: Literal["keep", "drop"] = "keep"
    maybe: Literal["keep", "drop"] | None = None
    seed: Whole | Literal["block"] = 0
    split: float | str | None = None
    anything: Any = None
    several: Sequence[float] = ()
    mean: Shares | None = None
    sides: Annotated[Sequence[Count], Len(2, 2), doc("two sides")] = (1, 1)
    options: Options = field(default_factory=dict)
    label: Columns = "label"
    later: "NowhereDefined" = None  # noqa: F821


def test_what_fits_is_taken():
    Made(flag=False, n=-3, size=4, ratio=1, rate=3, inside=0.1, mode="drop", seed="block")
    Made(mean=(0, 0.5, 1.0), sides=[2, 3], options={"a": [1]}, label=["x", "y"])
    Made(split="dev", anything={"a": 1}, several="unchecked", later=7, decay=0, share=1, fielded=2)
    assert Made(name=Path("a/b")).name == Path("a/b"), "a path is text"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"flag": 1}, "Made.flag must be true or false, not 1"),
        ({"n": 2.0}, "Made.n must be a whole number, not 2.0"),
        ({"n": "2"}, "Made.n must be a whole number, not '2'"),
        ({"n": True}, "Made.n must be a whole number, not True"),
        ({"count": 0}, "Made.count must be a whole number from 1: 0"),
        ({"count": 2.5}, "Made.count must be a whole number from 1: 2.5"),
        ({"count": "two"}, "Made.count must be a whole number from 1, not 'two'"),
        ({"size": 3}, "Made.size must be a whole number of pixels from 4, or null: 3"),
        ({"size": "3"}, "Made.size must be a whole number of pixels from 4, or null, not '3'"),
        ({"ratio": float("nan")}, "Made.ratio must be a number, not nan"),
        ({"ratio": None}, "Made.ratio must be a number, not None"),
        ({"rate": 0}, "Made.rate must be above 0: 0"),
        ({"rate": float("inf")}, "Made.rate must be above 0: inf"),
        ({"rate": "fast"}, "Made.rate must be a number above 0, not 'fast'"),
        ({"rate": True}, "Made.rate must be above 0: True"),
        ({"decay": -1e-9}, "Made.decay must be from 0: -1e-09"),
        ({"share": 1.1}, "Made.share must be from 0 to 1: 1.1"),
        ({"inside": 1}, "Made.inside must be above 0 to below 1: 1"),
        ({"fielded": 3}, "Made.fielded must be above 0 to 2: 3"),
        ({"name": 7}, "Made.name must be text, not 7"),
        ({"mode": "dorp"}, "unknown mode 'dorp'; did you mean drop?"),
        ({"mode": "x"}, "unknown mode 'x'; there is drop, keep"),
        ({"maybe": "dorp"}, "unknown maybe 'dorp'; did you mean drop?"),
        ({"mode": 3}, "Made.mode must be keep, or drop, not 3"),
        ({"seed": -1}, "Made.seed must be a whole number from 0, or block: -1"),
        ({"seed": "blok"}, "Made.seed must be a whole number from 0, or block, not 'blok'"),
        ({"mean": [0.5, 1.5]}, "Made.mean must be a list of shares of 1, or null, not [0.5, 1.5]"),
        ({"mean": []}, "Made.mean must be a list of shares of 1, or null, not []"),
        ({"mean": 0.5}, "Made.mean must be a list of shares of 1, or null, not 0.5"),
        ({"mean": "half"}, "Made.mean must be a list of shares of 1, or null, not 'half'"),
        ({"mean": [float("nan")]}, "Made.mean must be a list of shares of 1, or null, not [nan]"),
        ({"sides": (1, 2, 3)}, "Made.sides must be two sides, not (1, 2, 3)"),
        ({"options": ["a"]}, "Made.options must be keys and values, not ['a']"),
        ({"options": {1: 2}}, "Made.options must be keys and values, not {1: 2}"),
        ({"label": []}, "Made.label must be a column, or a list of columns, not []"),
        ({"label": [1]}, "Made.label must be a column, or a list of columns, not [1]"),
        ({"split": [1]}, "Made.split must be a number, or text, or null, not [1]"),
    ],
)
def test_what_does_not_is_told_in_one_line(values, told):
    with pytest.raises(BadInputError) as refused:
        Made(**values)
    assert str(refused.value) == told


class Base:
    def __init__(self, rate: "Positive" = 1.0, name: str = "a") -> None: ...


class Handing(Base):
    def __init__(self, depth: "Count", rate: "Share" = 0.1, **shared: "Any") -> None: ...


class Closed(Handing):
    def __init__(self, depth: int) -> None: ...


def test_what_a_constructor_hands_on_is_what_its_base_takes():
    assert taken_by(Handing) == {"depth": Count, "rate": Share, "name": str}
    assert taken_by(Closed) == {"depth": int}
    with pytest.raises(BadInputError, match=r"^Handing\.name must be text, not 3$"):
        check_arguments(Handing, {"depth": 1, "name": 3, "unknown": 1})


class Told(Made):
    group = "training"


@pytest.mark.parametrize("typed", ["MSE", "Mse", "rmse", "RMSE"])
def test_a_name_in_other_capitals_is_meant(typed):
    with pytest.raises(BadInputError, match=r"did you mean mse\?"):
        check_known("metric", typed, ["accuracy", "mae", "mse", "r2"])


def test_a_part_of_a_group_is_called_as_it_is_typed():
    for values, told in (({"n": 0.5}, "training.n must"), ({"mode": "x"}, "unknown training.mode")):
        with pytest.raises(BadInputError, match=told):
            Told(**values)


@checked
def cut(text: str, at: Count = 1) -> str:
    return text[:at]


def test_functions_check_theirs_too():
    assert cut("abc", at=2) == "ab"
    with pytest.raises(BadInputError, match=r"^cut\.at must be a whole number from 1: 0$"):
        cut("abc", 0)
