"""What a chain forgets is told for each task after each stage, over seeds, and decides nothing."""

import json

import pytest

from ledger_factory import identity
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.declared.looks import looks
from transfergrid.evidence.several.forgetting import ITSELF, forgetting
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Metric, OtherTask
from transfergrid.report.tables.sheet import render
from transfergrid.report.views.sides import side
from verdict_cells import Cells

STAGES = (("letters", "link 1"), ("letters", "link 2"), ("letters", ""))
BEHIND = (("shapes", "link 2"), ("shapes", ""))


def chain(scores, metric=None):
    """Return what a cell has kept of a chain of two links, given its five scores."""
    return tuple(
        OtherTask(
            name=name,
            target_part=identity("target", name),
            after=after,
            metric=metric or Metric(),
            test={(metric or Metric()).name: score},
        )
        for (name, after), score in zip((*STAGES, *BEHIND), scores, strict=True)
    )


def written(tmp_path, scores, strategy="sequential", metric=None):
    """Return a bench of one chain towards digits, given the five scores of each seed."""
    cells = Cells()
    scratch = cells.arm("scratch", mean=70, sd=0.4, n=len(scores))
    arm = cells.arm(strategy, "letters+shapes", 76, scratch, sd=0.4, n=len(scores))
    for cell, told in zip(arm, scores, strict=True):
        cells.change([cell], others=chain(told, metric))
    return bench_of(cells.write(Ledger(tmp_path / "r")))


SEEDS = [(0.9, 0.6, 0.5, 0.8, 0.7), (0.8, 0.6, 0.5, 0.8, 0.8), (0.7, 0.6, 0.5, 0.8, 0.9)]
"""Three seeds: letters fall by 30, 20 and 10 points after shapes, and by ten more after digits."""


def lines(bench):
    found = forgetting(bench, bench.verdicts())
    return {(line.task, line.after): line for line in found}


def test_each_task_is_told_after_itself_after_each_link_behind_it_and_after_the_target(tmp_path):
    found = lines(written(tmp_path, SEEDS))
    assert [*found] == [
        ("letters", ITSELF),
        ("letters", "shapes"),
        ("letters", "digits"),
        ("shapes", ITSELF),
        ("shapes", "digits"),
    ]
    assert found["letters", ITSELF].score == pytest.approx(80)
    assert found["letters", ITSELF].forgotten is None


def test_it_is_the_score_after_itself_less_that_by_then_paired_by_seed(tmp_path):
    """Of 30, 20 and 10 points the mean is 20, its half interval t(2) 10/sqrt(3) = 24.84."""
    found = lines(written(tmp_path, SEEDS))
    lost = found["letters", "shapes"]
    assert (lost.n, lost.score) == (3, pytest.approx(60))
    assert lost.forgotten == pytest.approx(20)
    assert (lost.low, lost.high) == (
        pytest.approx(-4.841, abs=1e-3),
        pytest.approx(44.841, abs=1e-3),
    )
    assert found["letters", "digits"].forgotten == pytest.approx(30)
    assert found["shapes", "digits"].forgotten == pytest.approx(0)


def test_less_of_an_error_is_no_forgetting(tmp_path):
    metric = Metric(name="log_loss", higher_is_better=False)
    found = lines(written(tmp_path, SEEDS, metric=metric))
    assert found["letters", "shapes"].forgotten == pytest.approx(-0.2)


def test_what_forgets_nothing_is_told_as_nothing_in_each_seed(tmp_path):
    bench = written(tmp_path, [(0.9, 0.9, 0.9, 0.8, 0.8)] * 3, "progressive_columns")
    assert {line.forgotten for line in lines(bench).values()} == {None, 0.0}
    assert "0.0 in each seed" in shown(bench)


def test_a_seed_without_a_score_is_left_out_of_its_line_alone(tmp_path):
    found = lines(written(tmp_path, [*SEEDS, (0.9, None, 0.4, 0.8, 0.7)]))
    assert found["letters", "shapes"].n == 3
    assert found["letters", "digits"].n == 4


def test_what_learns_no_chain_has_no_line(tmp_path):
    cells = Cells()
    scratch = cells.arm("scratch")
    for cell in cells.arm("multitask", "letters", 76, scratch):
        cells.change([cell], others=chain(SEEDS[0])[2:3])
    bench = bench_of(cells.write(Ledger(tmp_path / "r")))
    assert lines(bench) == {}
    assert "No arm here learned a chain" in shown(bench)


def shown(bench, form="table", view="forgetting"):
    return render(side(view, bench, bench.verdicts(), bench.rules), form)


def test_a_terminal_of_80_columns_shows_all_of_it(tmp_path):
    told = shown(written(tmp_path, SEEDS))
    assert max(map(len, told.splitlines())) <= 80
    assert "20.0 [-4.8, 44.8]" in told
    assert "sequential" in told


def test_programs_get_a_row_a_stage_and_it_is_no_look(tmp_path):
    bench = written(tmp_path, SEEDS)
    rows = json.loads(shown(bench, "json"))
    assert len(rows) == 5
    assert rows[1]["forgotten"] == pytest.approx(20)
    assert rows[1]["n"] == 3
    assert len(shown(bench, "csv").splitlines()) == 6
    assert list(looks(bench.ledger)) == []


def test_verdicts_on_tasks_lead_to_it_where_there_is_a_chain(tmp_path):
    assert "--show forgetting" in " ".join(shown(written(tmp_path, SEEDS), view="tasks").split())
