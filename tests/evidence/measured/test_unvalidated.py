"""What was taken where nothing validates stands in the records, whatever strategies are called."""

from dataclasses import replace

import pytest

from ledger_factory import made
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.measured.results import results_from
from transfergrid.evidence.measured.unvalidated import Unvalidated, unvalidated
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Chosen, Path, Scores
from transfergrid.report.wording.declared import closing_lines, declared_lines
from transfergrid.report.wording.findings_words import without_validation
from verdict_cells import Cells

BY_ITSELF = {"penalty": 3.2, "chosen_by_leaving_one_out": True, "path": {"penalty": [1.0, 3.2]}}


def dialled(name, values, chosen, validation=()):
    path = Path(name=name, values=values, validation=validation, chosen=chosen)
    return Chosen(step=4, by="last_step", paths=(path,))


def kept(tmp_path, *records):
    ledger = Ledger(tmp_path / "results")
    for record in records:
        ledger.write(record)
    return ledger, results_from(records)


def few(strategy, seed=0, labels=5, **fields):
    return replace(made(strategy, "glyphs", labels=labels, seed=seed), **fields)


def test_a_default_that_was_taken_and_a_choice_without_a_validation_part(tmp_path):
    mixed = few("mixing", chosen=dialled("share", (0.0, 0.5, 1.0), 0.5))
    not_traced = few("selecting", chosen=dialled("part", (0.1,), 0.1))
    by_itself = few("least_squares", told=BY_ITSELF)
    plain = few("full_finetuning", chosen=Chosen(step=4, by="last_step"), told={"alpha": 0.3})
    found = unvalidated(*kept(tmp_path, mixed, not_traced, by_itself, plain))
    assert found == {
        (5, ""): [
            Unvalidated("least_squares", "penalty", by="leaving one out"),
            Unvalidated("mixing", "share", 0.5),
            Unvalidated("selecting", "part", 0.1),
        ]
    }
    assert without_validation(found) == [
        "labels=5: nothing validates; least_squares chose its penalty by leaving one out, mixing "
        "took share 0.5, selecting took part 0.1."
    ]


def test_what_was_typed_or_validated_is_no_such_choice(tmp_path):
    typed = few("typed", chosen=dialled("share", (0.3,), 0.3))
    typed = replace(typed, config={**typed.config, "strategy": {"share": 0.3}})
    chosen = few(
        "chosen",
        labels=20,
        chosen=dialled("share", (0.0, 1.0), 1.0, (0.7, 0.8)),
        scores=Scores(test={"accuracy": 0.8}, validation={"accuracy": 0.8}),
    )
    validated = replace(chosen, told=BY_ITSELF, names=replace(chosen.names, strategy="ridge"))
    validated = replace(validated, id="0" * 16, parts=replace(chosen.parts, strategy="1" * 16))
    assert unvalidated(*kept(tmp_path, typed, chosen, validated)) == {}


@pytest.mark.parametrize("labels", [20, "all"])
def test_a_target_without_a_validation_part_is_named_where_others_have_one(tmp_path, labels):
    cell = few("mixing", labels=labels, chosen=dialled("share", (0.0, 0.5), 0.5))
    (line,) = without_validation(unvalidated(*kept(tmp_path, cell)))
    assert line == f"digits, labels={labels}: nothing validates; mixing took share 0.5."


def test_budgets_that_say_the_same_stand_in_one_line_the_smallest_first(tmp_path):
    cells = [few("mixing", labels=n, chosen=dialled("share", (0.0, 0.5), 0.5)) for n in (5, 2)]
    (line,) = without_validation(unvalidated(*kept(tmp_path, *cells)))
    assert line == "labels=2 and labels=5: nothing validates; mixing took share 0.5."


def test_one_record_is_read_for_a_strategy_and_place_however_many_seeds(tmp_path, monkeypatch):
    cells = [few("mixing", seed, chosen=dialled("share", (0.0, 0.5), 0.5)) for seed in range(9)]
    ledger, results = kept(tmp_path, *cells, *(few("probe", seed) for seed in range(9)))
    opened, read = [], Ledger.read
    monkeypatch.setattr(Ledger, "read", lambda self, name: opened.append(name) or read(self, name))
    assert list(unvalidated(ledger, results)) == [(5, "")]
    assert len(opened) == 2


def test_a_record_that_cannot_be_read_hides_nothing_else(tmp_path):
    chosen = dialled("share", (0.0, 0.5), 0.5)
    lost, there = few("lost", chosen=chosen), few("there", chosen=chosen)
    ledger, results = kept(tmp_path, lost, there)
    (ledger.folder(lost.id) / "record.json").unlink()
    assert unvalidated(ledger, results) == {(5, ""): [Unvalidated("there", "share", 0.5)]}
    assert ledger.warnings == []


def test_it_stands_below_verdicts_of_the_arms_that_are_shown_and_below_tables(tmp_path):
    cells = Cells()
    base = cells.arm("scratch", labels=5)
    cells.arm("mixing", "glyphs", 80, base, labels=5, chosen=dialled("share", (0.0, 0.5), 0.5))
    cells.arm("probe", "glyphs", 75, base, labels=5)
    bench = bench_of(cells.write(Ledger(tmp_path / "results")))
    line = "labels=5: nothing validates; mixing took share 0.5."
    verdicts = bench.verdicts()
    assert line in declared_lines(bench, bench.rules, verdicts)
    assert line in closing_lines(bench)
    others = [verdict for verdict in verdicts if verdict.strategy == "probe"]
    assert line not in declared_lines(bench, bench.rules, others)
