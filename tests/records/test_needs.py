"""What a strategy needs is told in words that there are."""

import pytest

from transfergrid.records.errors import BadInputError
from transfergrid.records.needs import Baselines, Needs, describe


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ({"source": "weigths"}, r"needs.source 'weigths'; did you mean weights\?"),
        ({"target_labels": "optinal"}, r"needs.target_labels 'optinal'; did you mean optional\?"),
        ({"classes": "sane"}, r"needs.classes 'sane'; did you mean same\?"),
        ({"tasks": ("clasification",)}, r"did you mean classification\?"),
        ({"pairs": ("partail",)}, r"pair in needs.pairs 'partail'; did you mean partial\?"),
    ],
)
def test_a_word_that_there_is_not_is_refused(told, meant):
    with pytest.raises(BadInputError, match=meant):
        Needs(**told)
    with pytest.raises(BadInputError, match=meant):
        Needs.read(told)


def test_which_pairs_are_meant_stands_in_a_yaml_only_where_somebody_says_so():
    plain, own = Needs(classes="same"), Needs(classes="same", pairs=("open",))
    told = [describe(needs, Baselines(), {}, {})["needs"] for needs in (plain, own)]
    assert "pairs" not in told[0]
    assert told[1]["pairs"] == ["open"]
    assert [Needs.read(each) for each in told] == [plain, own]
    assert plain.pairs == ("closed", "partial")
