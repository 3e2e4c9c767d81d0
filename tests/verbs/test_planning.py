"""The verb `plan`: what a grid would run, told before anything starts, and nothing written."""

import json

import pytest

from transfergrid.records.ledgers.claims import Claims
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.verbs.cli import main

GRID = [
    *("source=glyph_digits", "strategy=ridge,full_finetuning", "target=digits", "labels=5"),
    *("seed=range(3)", "training.steps=2", "trainer.workers=1", "trainer.diagnostics=none"),
]


def run(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    shown = capsys.readouterr()
    assert ended.value.code == 0, shown.err
    return shown.out


def plan(words, capsys):
    return json.loads(run(["plan", *words, "--format", "json"], capsys))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return f"results={tmp_path_factory.mktemp('plan') / 'results'}"


def test_before_anything_ran(results, capsys):
    told = plan([*GRID, results], capsys)
    cells = told["cells"]
    # scratch, majority and logistic_regression join the two that were asked for, three seeds each
    assert (cells["asked"], cells["added"], cells["to_run"]) == (6, 9, 15)
    assert cells["done"] == 0
    assert told["forecast"]["wall_seconds"] is None
    (source,) = told["sources"]
    assert (source["source"], source["trainings"], source["there"]) == ("glyph_digits", 1, 0)
    assert told["without_steps"] == 3
    assert not Ledger(results.partition("=")[2]).root.exists(), "nothing is written"


def test_what_ran_is_done_and_tells_how_long_the_rest_takes(results, capsys):
    run([*GRID, "seed=0", results], capsys)
    told = plan([*GRID, results], capsys)
    assert (told["cells"]["done"], told["cells"]["to_run"]) == (5, 10)
    assert told["sources"][0]["there"] == 1
    assert told["forecast"]["unknown_cells"] == 0
    by_hand = sum(g["to_run"] * g["seconds_each"] for g in told["groups"])
    assert told["forecast"]["seconds"] == pytest.approx(by_hand)
    assert told["forecast"]["from_cells"] == 5
    assert told["forecast"]["memory_bytes"] > 1e8
    assert told["disk"]["records_bytes"] > 1000


def test_people_read_it_in_lines(results, capsys):
    shown = run(["plan", *GRID, results], capsys)
    assert "6 cells asked for; 9 more to compare with; 10 to run (digits 10)" in shown
    assert "5 done before" in shown
    assert "source glyph_digits is trained already" in shown
    assert "on 1 worker, from 5 done cells in these results" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_what_another_grid_runs_is_told(results, capsys):
    ledger = Ledger(results.partition("=")[2])
    one = ledger.records()[0].id
    aside = ledger.folder(one).rename(ledger.root / "aside")
    other = Claims(ledger.root)
    assert other.take(one)
    told = plan([*GRID, results], capsys)["cells"]
    assert (told["elsewhere"], told["done"]) == ([one], 4)
    other.close()
    aside.rename(ledger.folder(one))


def test_a_cell_whose_code_changed_since_is_stale(results, capsys):
    ledger = Ledger(results.partition("=")[2])
    told = plan([*GRID, results], capsys)
    assert told["cells"]["stale"] == []
    (one,) = (r for r in ledger.records() if r.names.strategy == "ridge")
    file = ledger.folder(one.id) / "record.json"
    file.write_text(file.read_text().replace(one.code, "0" * len(one.code)))
    for segment in (ledger.root / "index").glob("*.parquet"):
        segment.unlink()
    assert plan([*GRID, results], capsys)["cells"]["stale"] == [one.id]


def test_what_networks_cannot_do_is_left_out_before_anything_starts(results, capsys):
    told = plan([*GRID, "strategy=ridge,prompt_tuning", results], capsys)
    assert told["cells"]["asked"] == 3
    assert {left["cell"].split(" x ")[1] for left in told["left_out"]} == {"prompt_tuning"}


def test_what_may_do_harm_is_told_before(capsys, tmp_path):
    odd = ["source=glyph_digits", "target=digits", "target.only=[0,1,2]", "labels=0"]
    odd += ["strategy=coral,mcc", f"results={tmp_path / 'results'}"]
    told = plan(odd, capsys)["warnings"][0]
    assert "a partial pair, the target lacks 7 classes of the source" in told
    assert "coral: bringing whole domains together" in told
    assert "a partial pair" in run(["plan", *odd], capsys)


def test_many_sources_are_counted(capsys, tmp_path):
    many = ["source=moons", "source.seed=0,1,2,3,4,5,6", "target=moons", "training=vectors"]
    many += ["strategy=full_finetuning", "labels=5", f"results={tmp_path / 'results'}"]
    shown = run(["plan", *many], capsys)
    assert shown.count("is trained first") == 5
    assert "2 sources more of this kind: 2 trainings to come" in shown
    assert len(plan(many, capsys)["sources"]) == 7


STUDY = """# @package _global_
verdict:
  margins: {glyph_letters: 3.0}
hydra:
  sweeper:
    params: {source: glyph_digits, strategy: ridge, labels: 5, target: "digits, glyph_letters"}
"""


def test_a_part_of_a_study_keeps_the_margins_of_all_of_it(capsys, tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "mine.yaml").write_text(STUDY)
    words = ["--config-dir", str(tmp_path), "study=mine", f"results={tmp_path / 'results'}"]
    assert plan([*words, "target=digits"], capsys)["cells"]["asked"] == 1
    with pytest.raises(SystemExit):
        main(["plan", *words, "target=digits", "verdict.margins.digit=1"])
    assert "unknown target in verdict.margins 'digit'" in capsys.readouterr().err


def test_a_wrong_word_is_one_line(results, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["plan", *GRID, "strategy=rige", results])
    assert ended.value.code == 2
    assert "did you mean" in capsys.readouterr().err
