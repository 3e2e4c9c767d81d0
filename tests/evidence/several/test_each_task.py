"""What learning together gives each task is a verdict of its own, the source's over it alone."""

from dataclasses import replace

import pytest

from ledger_factory import identity
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.declared.looks import looks
from transfergrid.evidence.several.each_task import ALONE, each_task
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import OtherTask
from transfergrid.report.tables.sheet import render
from transfergrid.report.views.sides import side
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


def two_networks(tmp_path, alone=("narrow", "wide")):
    """Return a bench of two networks of one name; letters alone score 70 by one, 80 by the other.

    Both learn letters to 75 per cent beside digits.
    """
    cells, means = Cells(), {"narrow": 70, "wide": 80}
    for network in means:
        scratch = cells.arm("scratch", mean=70, sd=0.4, architecture=network)
        both = cells.arm("multitask", "letters", 76, scratch, sd=0.4, architecture=network)
        for cell, others in zip(both, learned([0.74, 0.745, 0.75, 0.755, 0.76]), strict=True):
            cells.change([cell], others=others)
    for network in alone:
        told = {"target": "letters", "labels": "all", "architecture": network}
        cells.arm("scratch", mean=means[network], sd=0.4, **told)
    for cell in list(cells.records):
        cells.change([cell], names=replace(cell.names, architecture="small_cnn"))
    return bench_of(cells.write(Ledger(tmp_path / "r")))


def gains_over_alone(bench):
    found = each_task(bench, bench.verdicts())
    return sorted((v.n, round(v.gain or 0)) for v in found if v.reference == ALONE)


def test_alone_is_by_the_same_network_and_not_by_another_of_its_name(tmp_path):
    assert gains_over_alone(two_networks(tmp_path)) == [(5, -5), (5, 5)]


def test_where_only_another_network_of_its_name_was_trained_alone_nothing_is_judged(tmp_path):
    assert gains_over_alone(two_networks(tmp_path, alone=("wide",))) == [(0, 0), (5, -5)]


def test_a_task_alone_of_another_validation_part_counts_and_one_of_other_steps_does_not(tmp_path):
    for name, counts in (("default", 5), ("default(steps=9)", 0)):
        bench = written(tmp_path / name, [0.74] * 5)
        for one in bench.results:
            training = name if one.labels == "all" else "default"
            one.names = replace(one.names, training=training)
            if one.labels == "all":
                one.parts = replace(one.parts, training=identity("its own validation part"))
        assert rows(bench)[("letters" if counts else "Letters"), ALONE].n == counts
