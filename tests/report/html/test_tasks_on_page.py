"""What tasks gained that were learned beside others is a section of the report, and a matrix."""

import csv
import json
import re
from dataclasses import replace

import pytest
from made_report import ATTACK, small_report, verdict

from ledger_factory import identity
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.declared.looks import looks
from transfergrid.evidence.several.affinity import Pair
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import OtherTask
from transfergrid.report.html.affinity import affinity_maps, affinity_rows
from transfergrid.report.html.figures import write_figures
from transfergrid.report.html.gather import report_data
from transfergrid.report.html.page import page
from transfergrid.verbs.reporting import command
from verdict_cells import Cells


def kept(*told):
    """Return what a cell has kept of its sources' tasks: name, stage and accuracy of each."""
    return tuple(
        OtherTask(
            name=name,
            target_part=identity("target", name),
            after=after,
            test={"accuracy": score},
        )
        for name, after, score in told
    )


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """Return a ledger: letters and digits learned at once, each as the source; and a chain."""
    cells, alone = Cells(), {}
    for target in ("digits", "letters"):
        alone[target] = cells.arm("scratch", mean=80, sd=0.4, target=target, labels="all")
    for target, source, mean in (("digits", "letters", 86), ("letters", "digits", 70)):
        both = cells.arm(
            "multitask", source, mean, alone[target], sd=0.4, target=target, labels="all"
        )
        for number, cell in enumerate(both):
            cells.change([cell], others=kept((source, "", 0.74 + number / 500)))
    few = cells.arm("scratch", mean=60, sd=0.4)
    for number, cell in enumerate(cells.arm("sequential", "letters+shapes", 66, few, sd=0.4)):
        lost = 0.2 + number / 100
        told = (("letters", "link 1", 0.8), ("letters", "link 2", 0.8 - lost))
        behind = (("letters", "", 0.5), ("shapes", "link 2", 0.9), ("shapes", "", 0.9))
        cells.change([cell], others=kept(*told, *behind))
    return cells.write(Ledger(tmp_path_factory.mktemp("tasks") / "r"))


@pytest.fixture(scope="module")
def data(ledger):
    return report_data(bench_of(ledger))


@pytest.fixture(scope="module")
def section(data):
    return re.search(r'<section id="tasks">.*?</section>', page(data), re.DOTALL)[0]


def lines(section):
    """Return the cells of each line of its tables."""
    rows = re.findall(r"<tr>(<td.*?)</tr>", section, re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]
    return [[re.sub(r"<[^>]+>", "", cell) for cell in row] for row in cells]


def test_each_task_has_its_gain_interval_seeds_and_verdict(section):
    found = {tuple(row[:3]): row[3:] for row in lines(section)}
    over, gain, seeds, said = found["letters, all", "beside digits, all", "multitask"]
    assert (over, seeds, said) == ("alone", "5", "▼ hurt")
    assert re.fullmatch(r"-5\.\d \[-\d\.\d, -\d\.\d\]", gain)
    assert found["digits, all", "letters", "multitask"][3] == "▲ helped"
    assert re.search(r"Of 3 gains of a source.{1,6}s task: 3 hurt\.", section)


def test_what_a_chain_forgot_stands_below_link_by_link(section):
    told = [row[3:] for row in lines(section) if row[2] == "sequential" and len(row) == 8]
    assert [row[:2] for row in told] == [
        ["letters", "itself"],
        ["letters", "shapes"],
        ["letters", "digits"],
        ["shapes", "itself"],
        ["shapes", "digits"],
    ]
    assert told[1][2:] == ["58.0", "22.0 [20.0, 24.0]", "5"]
    assert told[4][3] == "0.0 in each seed"
    assert "Chains forgot 0.0 to 30.0 points of a task" in section


def test_a_ledger_without_such_tasks_has_no_such_section(tmp_path):
    cells = Cells()
    cells.arm("full_finetuning", "letters", 76, cells.arm("scratch"))
    found = report_data(bench_of(cells.write(Ledger(tmp_path / "r"))))
    assert 'id="tasks"' not in page(found)
    assert list(affinity_maps(found)) == []


def test_the_matrix_has_each_task_beside_each_once_as_target_and_once_as_source(data):
    rows = affinity_rows(data.pairs)
    assert len(rows) == 4, "a chain is no pair"
    places = {(row["panel"], row["target"], row["source"]) for row in rows}
    assert len(places) == 4
    assert len({row["panel"] for row in rows}) == 2
    (own,) = [r for r in rows if r["target"] == "letters" and r["baseline"] == "alone"]
    assert (own["source"], own["verdict"]) == ("digits", "negative")
    assert "row" not in own, "a click would open a line of another table"


def test_what_is_twice_at_one_place_is_in_two_matrices():
    pair = Pair(
        task="a", labels=5, beside="b", beside_labels="all", as_source=False, verdict=verdict()
    )
    other = replace(pair, verdict=verdict(gain=-3.0, kind=Kind.NEGATIVE))
    first, second = affinity_rows([pair, other])
    assert first["panel"] != second["panel"]


def test_matrices_are_figures_for_papers_too(data, tmp_path):
    written = {path.name for path in write_figures(data, tmp_path)}
    named = sorted(name for name in written if name.startswith("affinity"))
    assert len(named) == 6
    (table,) = [n for n in named if n.endswith(".csv") and "source_labels_all_beside" in n]
    with (tmp_path / table).open() as file:
        rows = {(row["target"], row["source"]): row for row in csv.DictReader(file)}
    assert rows["letters", "digits"]["verdict"] == "negative"
    assert float(rows["letters", "digits"]["gain"]) == pytest.approx(-5.6, abs=0.4)
    svg = (tmp_path / table.replace(".csv", ".svg")).read_text()
    assert "▼" in svg
    assert "beside" in svg


def test_what_the_report_shows_of_tasks_is_a_look(ledger, tmp_path, capsys):
    assert command([str(ledger.root), "-o", str(tmp_path / "report.html")]) == 0
    told = capsys.readouterr()
    assert "comparisons" in told.out + told.err
    assert any("alone" in name for look in looks(ledger) for name in look.seeds)


def test_names_of_tasks_are_no_markup():
    pair = Pair(
        task=ATTACK,
        labels=5,
        beside=ATTACK,
        beside_labels="all",
        as_source=True,
        verdict=verdict(ATTACK, ATTACK),
    )
    text = page(small_report(pairs=(pair,)))
    assert "<script>window" not in text
    rows = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])["affinity"]
    assert rows[0]["target"] == ATTACK
