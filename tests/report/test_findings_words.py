"""What strategies found, in words."""

from transfergrid.report.findings_words import MOST, findings


def test_numbers_lists_and_names():
    told = {
        "alpha": 0.123456,
        "kept_by_block": [3, 0],
        "path": {"penalty": [0.1, 1.0], "error": [2]},
    }
    assert list(findings(told)) == [
        "alpha 0.123",
        "kept by block: 3, 0",
        "path: penalty 0.1, 1; error 2",
    ]


def test_of_many_some_are_shown():
    (line,) = findings({"path": list(range(MOST + 3))})
    assert line.endswith(f", {MOST - 1}, and 3 more")
