"""`compare` says what changed between two looks, and gives the reason that the records know."""

import csv
import io
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ledger_factory import identity, made
from transfergrid.evidence.comparing.changes import compare, seeds
from transfergrid.evidence.comparing.differing import Difference, differences
from transfergrid.evidence.comparing.opened import opened
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.measured.selecting import Where
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Machine
from transfergrid.report.tables.sheet import render
from transfergrid.report.views.verdict_table import sheet
from transfergrid.verbs.cli import VERBS
from transfergrid.verbs.comparing_verdicts import command

NOISE = (0.0, 0.03, -0.028, 0.006, -0.011, 0.004, 0.009, -0.006, 0.01, -0.005)
EARLY = datetime.now(UTC) - timedelta(days=2)


def blocks(seeds=range(3), gain=0.03, strategy="lora", finished=EARLY, **changes):
    cells = []
    for seed in seeds:
        told = {"finished": finished.isoformat()}
        scratch = made(seed=seed, score=0.80, **told)
        arm = made(strategy, "glyphs", seed=seed, score=0.80 + gain + NOISE[seed], baseline=scratch)
        cells += [scratch, replace(arm, **told, **changes)]
    return cells


def written(root, cells):
    ledger = Ledger(root)
    for cell in cells:
        ledger.write(cell)
    return ledger


def looked(tmp_path, before, after, *arguments):
    written(tmp_path / "a", before)
    written(tmp_path / "b", after)
    return [str(tmp_path / "a"), str(tmp_path / "b"), *arguments]


def shown(capsys, arguments):
    assert command(arguments) == 0
    return capsys.readouterr().out


def test_nothing_changed_between_a_look_and_itself(tmp_path, capsys):
    text = shown(capsys, looked(tmp_path, blocks(), blocks()))
    assert "verdicts: 1 the same\n" in text
    assert "scores of cells that are in both: 6 the same\n" in text
    assert "only" not in text


def test_seeds_that_were_added_are_why_a_verdict_changed(tmp_path, capsys):
    arguments = looked(tmp_path, blocks(range(3)), blocks(range(10)))
    text = shown(capsys, arguments)
    assert "verdicts: 1 changed" in text
    assert "? undecided +3.1" in text
    assert "→ ▲▲ positive" in text
    assert "seeds: 0 to 2 → 0 to 9" in text
    assert "only after: 14 cells" in text
    assert "glyphs lora on digits, labels=20: seeds 3 to 9" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_cell_of_another_score_says_where_it_was_run_otherwise(tmp_path, capsys):
    before = blocks(versions={"torch": "2.6.0"}, code="a" * 16)
    after = blocks(
        gain=-0.05,
        versions={"torch": "2.7.1"},
        code="b" * 16,
        machine=Machine(device="an accelerator"),
    )
    arguments = looked(tmp_path, before, after)
    text = shown(capsys, arguments)
    assert "scores of cells that are in both: 3 the same, 3 changed" in text
    assert "83.0 → 75.0" in text
    assert text.count("torch: 2.6.0 → 2.7.1") == 1
    assert "code of the strategy: aaaaaaaa → bbbbbbbb" in text
    assert "device: none → an accelerator" in text
    assert text.count("likewise") == 2
    (found,) = compare(*map(opened, arguments)).pairs
    assert not found.is_changed


def test_another_config_is_named_by_its_keys(tmp_path, capsys):
    before = blocks(range(10), config={"strategy": {"lr": 0.1, "about": {"x": 1}}, "seed": 0})
    after = [
        replace(
            cell,
            id=identity("other", cell.id),
            parts=replace(cell.parts, strategy=identity("other")),
            config={"strategy": {"lr": 0.01, "about": {"x": 2}}, "seed": 0},
        )
        if cell.names.strategy == "lora"
        else cell
        for cell in blocks(range(10), gain=-0.05)
    ]
    text = shown(capsys, looked(tmp_path, before, after))
    assert "▲▲ positive" in text
    assert "→ ▼▼ negative" in text
    assert text.count("config strategy.lr: 0.1 → 0.01") == 3  # the verdict, and each one's cells
    assert "about" not in text
    assert "gains of the same seeds: none → 10 moved" in text
    assert "only before: 10 cells" in text
    assert "only after: 10 cells" in text


def test_a_verdict_may_change_for_the_company_it_is_corrected_in(tmp_path, capsys):
    lora = blocks(range(10), gain=0.011)
    company = [cell for i in range(9) for cell in blocks(range(10), 0.001, f"other_{i}")]
    text = shown(capsys, looked(tmp_path, lora, [*lora, *company]))
    assert "family: 1 → 10" in text


def test_saved_verdicts_stand_for_a_look_without_scores(tmp_path, capsys):
    arguments = looked(tmp_path, blocks(range(3)), blocks(range(10)))
    ledger = Ledger(arguments[0])
    saved = tmp_path / "before.json"
    saved.write_text(render(sheet(bench_of(ledger).verdicts()), "json"))
    assert opened(str(saved)).verdicts == bench_of(ledger).verdicts()
    text = shown(capsys, [str(saved), arguments[1]])
    assert "verdicts: 1 changed" in text
    assert "seeds: 0 to 2 → 0 to 9" in text
    assert "scores: not compared, for saved verdicts hold none" in text


def test_only_the_promised_keys_are_needed_of_saved_verdicts(tmp_path):
    ledger = written(tmp_path / "a", blocks())
    rows = json.loads(render(sheet(bench_of(ledger).verdicts()), "json"))
    lean = [dict(list(row.items())[:16]) for row in rows]
    (tmp_path / "lean.json").write_text(json.dumps(lean))
    found = compare(opened(str(tmp_path / "lean.json")), opened(str(tmp_path / "a")))
    assert [pair.is_changed for pair in found.pairs] == [False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json", "holds no verdicts in JSON"),
        ("[{}]", "source: Field required"),
        ('{"a": 1}', "holds no verdicts"),
        ("[3]", "holds no verdicts"),
    ],
)
def test_another_file_is_refused_in_a_line(tmp_path, text, said):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(BadInputError, match=said) as caught:
        opened(str(tmp_path / "x.json"))
    assert "\n" not in str(caught.value)


def test_a_ledger_can_be_seen_as_it_was_at_an_earlier_look(tmp_path, capsys):
    ledger = written(tmp_path / "a", blocks(range(3)))
    first = bench_of(ledger)
    first.note_look(first.verdicts(), "verdicts")
    later = datetime.now(UTC) + timedelta(seconds=1)
    written(tmp_path / "a", blocks(range(3, 10), finished=later))
    root = str(tmp_path / "a")
    assert [v.n for v in opened(f"{root}@1").verdicts] == [3]
    text = shown(capsys, [f"{root}@1", root])
    assert "seeds: 0 to 2 → 0 to 9" in text
    with pytest.raises(BadInputError, match="and no 5"):
        opened(f"{root}@5")


def test_comparing_is_a_look(tmp_path, capsys):
    arguments = looked(tmp_path, blocks(range(3)), blocks(range(4)))
    shown(capsys, arguments)
    assert [len(bench_of(Ledger(root)).earlier) for root in arguments] == [1, 1]


def test_json_holds_what_the_table_says(tmp_path, capsys):
    arguments = looked(tmp_path, blocks(range(3)), blocks(range(10), gain=0.04), "--format", "json")
    told = json.loads(shown(capsys, arguments))
    (pair,) = told["verdicts"]
    assert (pair["source"], pair["changed"]) == ("glyphs", True)
    assert (pair["before"]["n"], pair["after"]["n"]) == (3, 10)
    assert {"what": "seeds", "before": "0 to 2", "after": "0 to 9"} in pair["why"]
    assert told["scores_same"] == 3
    assert [one["after"] - one["before"] for one in told["scores_changed"]] == pytest.approx(
        [1] * 3
    )
    assert {arm["strategy"]: arm["seeds"] for arm in told["only_after"]} == (
        {"lora": list(range(3, 10)), "scratch": list(range(3, 10))}
    )
    assert told["only_before"] == []


def test_every_format_says_what_changed(tmp_path, capsys):
    arguments = looked(tmp_path, blocks(range(3)), blocks(range(10), gain=0.04))
    rows = list(csv.DictReader(io.StringIO(shown(capsys, [*arguments, "--format", "csv"]))))
    assert Counter(row["what"] for row in rows) == {"verdict": 1, "score": 3, "only after": 2}
    assert (rows[0]["before"], rows[0]["after"]) == ("undecided", "positive")
    text = shown(capsys, [*arguments, "--format", "markdown"])
    (line,) = [line for line in text.splitlines() if "glyphs lora · digits" in line]
    assert "| ? undecided +3.1" in line
    assert "seeds: 0 to 2 → 0 to 9" in line
    assert r"\begin{tabular}{@{}llll@{}}" in shown(capsys, [*arguments, "--format", "latex"])


def test_where_narrows_what_is_compared(tmp_path, capsys):
    both = [*blocks(), *blocks(strategy="bss")]
    arguments = looked(tmp_path, both, both, "--where", "strategy=bss")
    text = shown(capsys, arguments)
    assert "verdicts: 1 the same" in text
    assert "in both: 3 the same" in text
    sides = [opened(root) for root in arguments[:2]]
    assert len(compare(*sides, Where.parse("strategy=lora,bss")).pairs) == 2


def test_records_differ_in_config_code_versions_and_machine_and_in_nothing_else():
    one = made(config={"a": {"b": 1}}, versions={"torch": "2"}, commit="c" * 40, seconds=1.0)
    assert differences(one, replace(one, finished="now", started="then")) == []
    other = replace(one, config={"a": {"b": None}, "c": 2}, versions={}, commit="d" * 40)
    assert differences(one, other) == [
        Difference("config a.b", "1", "none"),
        Difference("config c", "none", "2"),
        Difference("commit", "cccccccc", "dddddddd"),
        Difference("torch", "2", "none"),
    ]


def test_seeds_are_written_in_runs():
    assert seeds([4, 0, 1, 2, 7, 8]) == "0 to 2, 4, 7 to 8"
    assert seeds([]) == ""


def test_bad_input_is_told_and_the_verb_is_known(tmp_path):
    assert VERBS["compare"] == "transfergrid.verbs.comparing_verdicts"
    with pytest.raises(BadInputError, match="no such folder"):
        command([str(tmp_path / "none"), str(tmp_path / "none")])
    with pytest.raises(BadInputError, match="required: after"):
        command(["a"])
    with pytest.raises(BadInputError, match="unknown format"):
        command(["a", "b", "--format", "jsn"])
