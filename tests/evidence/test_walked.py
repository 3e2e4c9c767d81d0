"""What was said along the path of a hyperparameter that acts after training."""

from dataclasses import replace

import pytest

from ledger_factory import made
from transfergrid.evidence.chosen.paths import walked
from transfergrid.records.record import Chosen, Path, from_json
from transfergrid.report.html.paths import along

VALUES = (0.0, 0.5, 1.0)


def cell(seed, validation=(), losses=(), chosen=0.5, values=VALUES, labels=20, strategy="wise_ft"):
    path = Path(
        name="alpha", values=values, validation=validation, train_loss=losses, chosen=chosen
    )
    told = Chosen(step=10, by="validation", paths=(path,))
    return replace(made(strategy, "glyphs", seed=seed, labels=labels), chosen=told)


def test_it_is_the_mean_over_seeds_in_points():
    cells = [cell(0, (0.8, 0.9, 0.7), (0.4, 0.2, 0.1)), cell(1, (0.6, 0.7, 0.9), (0.2, 0.2, 0.3))]
    (found,) = walked([*cells, cell(2, (0.7, 0.5, 0.5), (0.3, 0.2, 0.2), 1.0)])
    assert found.validation == pytest.approx((70.0, 70.0, 70.0))
    assert found.train_loss == pytest.approx((0.3, 0.2, 0.2))
    assert found.chosen == ((0.5, 2), (1.0, 1))
    assert (found.name, found.values, found.n) == ("alpha", VALUES, 3)


def test_what_not_every_seed_tells_is_not_told():
    (found,) = walked([cell(0, (0.8, 0.9, 0.7)), cell(1, (0.8, None, 0.7))])
    assert (found.validation, found.train_loss) == ((), ())
    (found,) = walked([cell(0, (0.8, 0.9, 0.7)), cell(1, (0.6, 0.5), values=(0.5, 1.0))])
    assert (found.values, found.validation) == ((0.5, 1.0), pytest.approx((75.0, 60.0)))


def test_one_value_is_no_path_and_records_of_before_have_none():
    assert walked([cell(0, (0.8,), values=(0.5,))]) == []
    plain = made("full_finetuning", "glyphs")
    assert walked([plain]) == []
    assert along([plain]) is None
    kept = cell(0, (0.8, None, 0.7))
    assert from_json(kept.to_json()) == kept
    text = kept.to_json().replace('"paths"', '"unknown"')
    assert from_json(text).chosen.paths == ()


def test_the_report_draws_scores_and_where_there_are_none_losses():
    many = [cell(0, (0.8, 0.9, 0.7), (0.4, 0.2, 0.1))]
    few = [cell(0, (), (0.4, 0.2, 0.1), labels=5, strategy="wise<b>")]
    section = along([*many, *few])
    (table,) = section.tables
    told = [[column.text(row) for column in table.columns] for row in table.rows]
    assert told[0][3:] == ["alpha", "1", "0.5: 1", "", "0: 0.400, 0.5: 0.200, 1: 0.100"]
    assert told[1][6] == "0: 80.0, 0.5: 90.0, 1: 70.0"
    losses, scores = section.pictures
    assert "labels=5: loss on the training examples along alpha" in losses
    assert "labels=20: validation score along alpha" in scores
    assert "wise&lt;b&gt;" in losses
    assert "<b>" not in losses
    assert '<polyline points="34.0,124.0 244.0,34.0 454.0,214.0"' in scores
