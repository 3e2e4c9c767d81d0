"""What holds over several targets is a section of the report, there only where arms have two."""

import re

import pytest

from transfergrid.evidence.declared.judged import bench_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.report.html.gather import report_data
from transfergrid.report.html.page import page
from verdict_cells import Cells

GAINS = {"a": 6.0, "b": 5.0, "c": 4.0, "d": 7.0, "e": 5.5}


def written(targets, folder):
    cells = Cells()
    for target in targets:
        base = cells.arm("scratch", mean=70, target=target)
        cells.arm("full_finetuning", "birds", 70 + GAINS[target], base, sd=1.0, target=target)
        cells.arm("feature_extraction", "birds", 70, base, sd=1.0, target=target)
    bench = bench_of(cells.write(Ledger(folder / "r")))
    return re.sub(r"\s+", " ", page(report_data(bench)))


@pytest.mark.parametrize(("targets", "new"), [("abcde", True), ("ab", False)])
def test_the_section_says_whether_it_speaks_of_new_targets(targets, new, tmp_path):
    text = written(targets, tmp_path)
    section = text.split('<section id="targets">')[1].split("</section>")[0]
    assert "over scratch · family of 2, Holm" in section
    assert ("next hurt</th>" in section) is new
    where = "over new targets" if new else "on their targets alone"
    assert f"Of 2 arms judged {where}: 1 helped" in section
    assert ">hurts on</th>" in section


def test_arms_of_one_target_have_no_section(tmp_path):
    assert '<section id="targets">' not in written("a", tmp_path)
