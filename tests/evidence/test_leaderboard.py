"""Strategies by targets: scores, gains, ranks with ties, and cells that are missing."""

import pytest

from transfergrid.evidence.leaderboard import critical_difference, leaderboards
from transfergrid.evidence.measured.results import results_from
from transfergrid.evidence.verdicts.judging import judge
from verdict_cells import Cells

SCRATCH = (None, "small_cnn", "scratch")
FULL, PROBE = ("net", "small_cnn", "full"), ("net", "small_cnn", "probe")
ITEMS = 1000


def grid(*targets, **means):
    """Return cells of `full` and `probe` over scratch on each target, at these means."""
    cells = Cells()
    for place, target in enumerate(targets):
        base = cells.arm("scratch", mean=70, target=target, items=ITEMS)
        for name in ("full", "probe"):
            mean = means[name][place]
            if mean is not None:
                cells.arm(name, "net", mean, base, target=target, items=ITEMS)
    return cells


def boards(cells, placebo=()):
    results = results_from(cells.records)
    for result in results:
        result.placebo = result.names.source in placebo
    return leaderboards(judge(results, read=cells.read), results)


def ranks(board):
    return {line.name: line.mean_rank for line in board.lines}


def test_ranks_are_means_over_targets_and_the_best_stands_first():
    (board,) = boards(grid("a", "b", full=(90, 60), probe=(80, 75)))
    assert board.places == (("a", 20), ("b", 20))
    # a: full 1, probe 2, scratch 3; b: probe 1, scratch 2, full 3
    assert ranks(board) == {PROBE: 1.5, FULL: 2.0, SCRATCH: 2.5}
    assert [line.name for line in board.lines] == [PROBE, FULL, SCRATCH]
    first = board.lines[0].entries["a", 20]
    assert (first.mean, first.n, first.rank) == (pytest.approx(80), 5, 2)
    assert first.verdict.gain == pytest.approx(10, abs=0.1)
    assert board.lines[2].entries["a", 20].verdict is None
    assert (board.ranked, board.critical) == (3, None)


def test_equal_scores_share_their_ranks():
    (board,) = boards(grid("a", full=(80,), probe=(80,)))
    assert ranks(board) == {FULL: 1.5, PROBE: 1.5, SCRATCH: 3.0}


def test_an_arm_that_lacks_a_place_has_no_mean_rank_and_takes_none():
    (board,) = boards(grid("a", "b", full=(90, None), probe=(80, 75)))
    assert ranks(board) == {PROBE: 1.0, SCRATCH: 2.0, FULL: None}
    assert board.lines[-1].name == FULL
    assert set(board.lines[-1].entries) == {("a", 20)}


def test_a_place_that_most_arms_lack_is_none_that_ranks_are_made_of():
    cells = grid("a", full=(90,), probe=(80,))
    base = cells.arm("source_only", mean=50, target="a", labels=0, items=ITEMS)
    cells.arm("dann", "net", 60, base, target="a", labels=0, items=ITEMS)
    (board,) = boards(cells)
    assert board.places == (("a", 0), ("a", 20))
    assert board.over == (("a", 20),)
    assert {line.name[2]: line.mean_rank for line in board.lines} == {
        "full": 1.0,
        "probe": 2.0,
        "scratch": 3.0,
        "dann": None,
        "source_only": None,
    }


def test_ranks_are_on_the_seeds_that_all_share():
    cells = Cells()
    base = cells.arm("scratch", mean=70)
    cells.arm("full", "net", 80, base, sd=4)  # seeds 72, 76, 80, 84, 88
    cells.arm("probe", "net", 76, base, n=2, sd=0)
    (board,) = boards(cells)
    # on seeds 0 and 1 full has a mean of 74, below the 76 of probe
    assert ranks(board) == {PROBE: 1.0, FULL: 2.0, SCRATCH: 3.0}
    assert board.shared == {("digits", 20): 2}


def test_several_targets_have_a_board_for_each_budget_and_one_target_has_one():
    cells = grid("a", "b", full=(90, 60), probe=(80, 75))
    base = cells.arm("scratch", mean=70, labels="all", target="a")
    cells.arm("full", "net", 75, base, labels="all", target="a")
    first, second = boards(cells)
    assert (first.places, second.places) == ((("a", 20), ("b", 20)), (("a", "all"),))
    only = Cells()
    for labels in ("all", 2, 20):
        only.arm("full", "net", 75, only.arm("scratch", labels=labels), labels=labels)
    (board,) = boards(only)
    assert board.places == (("digits", 2), ("digits", 20), ("digits", "all"))


def test_placebos_are_counted_and_left_out():
    cells = grid("a", full=(80,), probe=(75,))
    base = [cell for cell in cells.records if cell.names.strategy == "scratch"]
    cells.arm("full", "nothing", 60, base, target="a", items=ITEMS)
    (board,) = boards(cells, placebo=["nothing"])
    assert (board.placebos, len(board.lines)) == (1, 3)


def test_of_a_loss_the_smallest_stands_first():
    from transfergrid.records.record import Metric, Scores

    cells = Cells()
    base = cells.arm("scratch", n=3)
    arm = cells.arm("full", "net", base=base, n=3)
    for some, value in ((base, 0.9), (arm, 0.5)):
        for cell in some:
            cells.change([cell], metric=Metric(name="loss", higher_is_better=False),
                         scores=Scores(test={"loss": value + 0.01 * cell.seed}))  # fmt: skip
    (board,) = boards(cells)
    assert ranks(board) == {FULL: 1.0, SCRATCH: 2.0}
    assert board.lines[0].entries["digits", 20].mean == pytest.approx(0.51)


@pytest.mark.parametrize(("arms", "q"), [(2, 1.960), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_is_that_of_the_published_table(arms, q):
    """Demšar 2006, table 5: q at 5 % by number of classifiers."""
    expected = q * (arms * (arms + 1) / (6 * 14)) ** 0.5
    assert critical_difference(arms, 14) == pytest.approx(expected, rel=3e-4)
    assert critical_difference(1, 14) is None


def test_five_targets_have_a_critical_difference():
    (board,) = boards(grid(*"abcde", full=(80,) * 5, probe=(75,) * 5))
    assert board.critical == pytest.approx(2.343 * (3 * 4 / 30) ** 0.5, rel=3e-4)
