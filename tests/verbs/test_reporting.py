"""The verb `report`."""

import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from ledger_factory import made, predicted
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Metric, Scores
from transfergrid.report.html.gather import report_data
from transfergrid.verbs.cli import main


@pytest.fixture
def results(tmp_path):
    """A ledger of an arm that is right on more items than its baseline, in four seeds."""
    ledger = Ledger(tmp_path / "results")
    for seed in range(4):
        base = [i % 3 > 0 for i in range(60)]
        arm = [ok or i % 2 == 0 or i == seed for i, ok in enumerate(base)]
        scratch = scored(made("scratch", seed=seed), base, 0.6)
        tuned = made("full_finetuning", "birds", seed=seed, baseline=scratch)
        ledger.write(scratch, predicted(base))
        ledger.write(scored(tuned, arm, 0.8), predicted(arm))
    return ledger


def scored(record, right, validation):
    scores = Scores(test={"accuracy": sum(right) / len(right)}, validation={"accuracy": validation})
    return replace(record, metric=Metric(), scores=scores)


def run(*words):
    with pytest.raises(SystemExit) as left:
        main(["report", *map(str, words)])
    return left.value.code


def payload(path):
    text = path.read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found[1])


def test_one_file_with_the_answer(results, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert run(results.root, "-o", out) == 0
    assert "1 comparisons" in capsys.readouterr().out or out.exists()
    text = out.read_text().replace("\u00a0", " ")
    assert "use full_finetuning of birds, the best on validation (80.0 %)" in text
    row = payload(out)["rows"][0]
    assert set(row["cells"]) | set(row["baseline_cells"]) == set(payload(out)["cells"])
    told = {cell.id for cell in results.records()}
    assert told == set(payload(out)["cells"]), "every number leads to a cell of the ledger"


def test_nothing_is_left_out_of_a_report_of_thousands_of_cells(tmp_path):
    ledger = Ledger(tmp_path / "results")
    curves = {"validation_step": np.array([1, 2]), "validation_score": np.array([0.4, 0.6])}
    base, better = [i % 2 > 0 for i in range(8)], [i > 0 for i in range(8)]
    for labels, seed in itertools.product((5, 20), (0, 1)):
        scratch = scored(made("scratch", labels=labels, seed=seed), base, 0.5)
        ledger.write(scratch, predicted(base), curves)
        for source in map(str, range(500)):
            arm = made("probe", source, labels, seed, baseline=scratch)
            ledger.write(scored(arm, better, 0.8), predicted(better), curves)
    found = report_data(bench_of(ledger))
    assert len(found.cells) == 2004
    assert len(found.verdicts) == len(found.steps) == 1000
    assert set(found.remarks) == set(range(1000)), "classes of each"
    (crossing,) = (section for section in found.sections if section.name == "crossover")
    assert "350 more" in crossing.tables[0].title, "500 curves over labels, of which 150 are shown"
    assert {"references", "classes"} < {section.name for section in found.sections}


def test_classes_and_curves_come_with_it(results, tmp_path):
    run(results.root, "-o", tmp_path / "report.html")
    remarks = payload(tmp_path / "report.html")["rows"][0]["remarks"]
    assert any(line.startswith("Class that gains least") for line in remarks)


def test_a_title_and_figures(results, tmp_path):
    code = run(
        results.root, "-o", tmp_path / "r.html", "--title", "Birds & <pets>", "--figures",
        tmp_path / "figures",
    )  # fmt: skip
    assert code == 0
    assert "<h1>Birds &amp; &lt;pets&gt;</h1>" in (tmp_path / "r.html").read_text()
    assert (tmp_path / "figures/heatmap_digits_20.svg").exists()


def test_where_narrows_what_is_shown(results, tmp_path, capsys):
    assert run(results.root, "-o", tmp_path / "r.html", "--where", "source=cats") == 2
    assert "transfergrid:" in capsys.readouterr().err
    assert run(results.root, "-o", tmp_path / "r.html", "--where", "source=birds") == 0
    assert "Shown where source=birds" in (tmp_path / "r.html").read_text()


def test_where_leaves_runs_out(results, tmp_path):
    assert run(results.root, "-o", tmp_path / "r.html", "--where", "seed<2") == 0
    found = payload(tmp_path / "r.html")
    assert found["rows"][0]["seeds"] == [0, 1]
    assert {cell[0] for cell in found["cells"].values()} == {0, 1}


def test_a_report_is_a_look(results, tmp_path):
    before = len(list(results.root.rglob("*.json")))
    run(results.root, "-o", tmp_path / "r.html")
    assert len(list(results.root.rglob("*.json"))) > before


@pytest.mark.parametrize("folder", ["nowhere", "empty"])
def test_no_results(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / folder) == 2
    assert "no results" in capsys.readouterr().err


def test_a_place_that_cannot_be_written(results, tmp_path, capsys):
    assert run(results.root, "-o", tmp_path) == 2
    assert "cannot write" in capsys.readouterr().err
