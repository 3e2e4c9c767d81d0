"""The setting of a pair follows from the names of classes and from how many examples each has."""

import pytest

from transfergrid.records.pairs import Pair, apart

TEN = dict.fromkeys("0123456789", 100)


def kept(names, counts=TEN):
    return {name: counts[name] for name in names}


@pytest.mark.parametrize(
    ("source", "target", "setting", "predicted"),
    [
        (TEN, TEN, "closed", tuple("0123456789")),
        (TEN, kept("53"), "partial", ("5", "3", *"01246789")),
        (kept("35"), kept("345"), "open", ("3", "5", "unknown")),
        (kept("0135"), kept("345"), "partial and open", ("3", "5", "0", "1", "unknown")),
    ],
)
def test_settings(source, target, setting, predicted):
    pair = Pair.of(source, target)
    assert (pair.setting, pair.predicted) == (setting, predicted)
    assert pair.words == frozenset(setting.split(" and "))
    assert pair.is_closed == (setting == "closed")
    assert pair.told == ("" if setting == "closed" else setting)


def test_the_order_of_classes_makes_no_pair_another():
    assert Pair.of(TEN, dict(reversed(TEN.items()))).is_closed


def test_a_label_shift_is_the_share_that_would_have_to_be_of_another_class():
    """Shares .5, .3, .2 and .2, .3, .5: three tenths of the examples are of another class."""
    pair = Pair.of({"a": 50, "b": 30, "c": 20}, {"a": 2, "b": 3, "c": 5})
    assert pair.label_shift == pytest.approx(0.3)
    assert pair.told == "label shift 0.30"
    assert pair.unevenness == pytest.approx((1 / 3 - 0.2) + (1 / 3 - 0.3), abs=1e-6)


def test_a_shift_is_counted_among_the_classes_of_both():
    pair = Pair.of({"a": 10, "b": 10, "c": 80}, {"a": 10, "b": 10, "d": 80})
    assert pair.label_shift == 0
    assert pair.told == "partial and open"


def test_classes_that_are_not_there_make_a_target_uneven():
    """Of four predicted classes two are there: half the examples stand where none should."""
    assert Pair.of(kept("0123"), kept("01")).unevenness == pytest.approx(0.5)
    assert Pair.of(TEN, TEN).unevenness == 0


def test_a_few_examples_are_no_shift():
    assert Pair.of(kept("01"), {"0": 100, "1": 85}).told == ""


def test_shares_of_nothing_are_not_told():
    assert apart([0, 0], [1, 2]) is None
