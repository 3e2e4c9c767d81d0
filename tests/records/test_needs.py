"""What a strategy needs is told in words that there are."""

import pytest

from transfergrid.records.errors import BadInputError
from transfergrid.records.needs import Needs


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ({"source": "weigths"}, r"needs.source 'weigths'; did you mean weights\?"),
        ({"target_labels": "optinal"}, r"needs.target_labels 'optinal'; did you mean optional\?"),
        ({"classes": "sane"}, r"needs.classes 'sane'; did you mean same\?"),
        ({"tasks": ("clasification",)}, r"did you mean classification\?"),
    ],
)
def test_a_word_that_there_is_not_is_refused(told, meant):
    with pytest.raises(BadInputError, match=meant):
        Needs(**told)
    with pytest.raises(BadInputError, match=meant):
        Needs.read(told)
