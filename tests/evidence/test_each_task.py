"""What learning together gives each task is a verdict of its own, the source's over it alone."""

import pytest

from ledger_factory import identity
from transfergrid.evidence.decisions import Kind
from transfergrid.evidence.each_task import ALONE, each_task
from transfergrid.evidence.judged import bench_of
from transfergrid.evidence.looks import looks
from transfergrid.records.ledger import Ledger
from transfergrid.records.record import OtherTask
from transfergrid.report.sheet import render
from transfergrid.report.sides import side
from verdict_cells import Cells

LETTERS = identity("target", "letters")


def learned(scores, target_part=LETTERS, after=""):
    """Return what cells with these accuracies on the source's task have kept of it."""
    return [
        (OtherTask(name="Letters", target_part=target_part, test={"accuracy": s}, after=after),)
        for s in scores
    ]


def written(tmp_path, source_scores, alone=True, after=""):
    """Return a bench on which multitask gains 6 points on digits, and the source's task changes."""
    cells = Cells()
    scratch = cells.arm("scratch", mean=70, sd=0.4)
    both = cells.arm("multitask", "letters", 76, scratch, sd=0.4)
    for cell, others in zip(both, learned(source_scores, after=after), strict=True):
        cells.change([cell], others=others)
    cells.arm("full_finetuning", "letters", 75, scratch)
    if alone:
        cells.arm("scratch", mean=80, sd=0.4, target="letters", labels="all")
    return bench_of(cells.write(Ledger(tmp_path / "r")))


def rows(bench):
    return {(v.target, v.reference): v for v in each_task(bench, bench.verdicts())}


def test_the_sources_task_is_judged_over_training_it_alone(tmp_path):
    bench = written(tmp_path, [0.740, 0.742, 0.744, 0.746, 0.748])
    found = rows(bench)
    assert set(found) == {("digits", "scratch"), ("letters", ALONE)}
    assert found["digits", "scratch"].verdict is Kind.POSITIVE
    lost = found["letters", ALONE]
    assert lost.verdict is Kind.NEGATIVE
    assert lost.gain == pytest.approx(74.4 - 80, abs=0.3)
    assert lost.n == 5
    assert lost.strategy == "multitask"
    assert set(lost.cells) <= {record.id for record in bench.ledger.records()}


def test_seeds_are_paired(tmp_path):
    """The same scores in another order have the same mean gain and a wider interval."""
    widths = []
    for number, scores in enumerate(
        ([0.812, 0.816, 0.82, 0.824, 0.828], [0.828, 0.824, 0.82, 0.816, 0.812])
    ):
        found = rows(written(tmp_path / str(number), scores))["letters", ALONE]
        widths.append(found.high - found.low)
    assert widths[0] < widths[1] / 1.5


def test_where_it_was_not_trained_alone_nothing_is_judged(tmp_path):
    bench = written(tmp_path, [0.7] * 5, alone=False)
    lonely = rows(bench)["Letters", ALONE]
    assert (lonely.n, lonely.gain) == (0, None)
    told = render(side("tasks", bench, bench.verdicts(), bench.rules), "table")
    assert "strategy=scratch target=Letters labels=all" in " ".join(told.split())


def test_what_was_scored_on_the_way_is_no_gain_of_the_end(tmp_path):
    assert rows(written(tmp_path, [0.7] * 5, after="letters")) == {}


def test_the_view_says_both_and_is_a_look(tmp_path):
    bench = written(tmp_path, [0.740, 0.742, 0.744, 0.746, 0.748])
    told = render(side("tasks", bench, bench.verdicts(), bench.rules), "table")
    assert "beside digits, 20" in told
    assert any(ALONE in name for look in looks(bench.ledger) for name in look.seeds)


def test_an_arm_that_keeps_no_head_of_the_source_is_not_shown(tmp_path):
    bench = written(tmp_path, [0.7] * 5)
    assert {v.strategy for v in each_task(bench, bench.verdicts())} == {"multitask"}
