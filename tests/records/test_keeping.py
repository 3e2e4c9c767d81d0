"""Whose weights are kept: by validation alone, one a group, and the best is never lost."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

import pretend_grid
from kept_cells import CPU, cell, made
from transfergrid.records.cell import Parts
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.keeping import (
    KEPT,
    MODEL,
    WEIGHTS,
    Keeper,
    drop,
    estimated,
    groups_of,
    has_model,
    model_folder,
    put,
    why_kept,
)
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.provenance import identified
from transfergrid.records.record import Data, Metric, Scores, Status
from transfergrid.report.running import kept
from transfergrid.runs.cell import run_cell
from transfergrid.runs.checking import check_parts
from transfergrid.runs.launching.processes import Pool
from transfergrid.runs.launching.settings import Settings

PREDICTIONS = Predictions(np.full((2, 2), 0.5), np.array([0, 1]))


def one(number, labels=20, training="t1", target="t", strategy="work"):
    parts = Parts(strategy=strategy, target=target, training=training)
    return replace(pretend_grid.cell(number), labels=labels, parts=parts)


def end(ledger, made, validation, test=0.5, why="best", higher=True):
    """Leave what a worker leaves of a cell that it ran."""

    def model(folder):
        (folder / MODEL).mkdir()
        (folder / MODEL / WEIGHTS).write_bytes(b"w" * 1000)
        (folder / MODEL / KEPT).write_text(f'{{"by": "{why}"}}')

    part = None if validation is None else {"accuracy": validation, "loss": 1 - validation}
    record = identified(
        made,
        Status.DONE,
        metric=Metric(name="accuracy", higher_is_better=higher),
        scores=Scores(test={"accuracy": test}, validation=part),
        data=Data(classes=("a", "b")),
    )
    ledger.write(record, PREDICTIONS, {}, model if why else lambda folder: None)


def holders(ledger, cells):
    return {c.seed for c in cells if has_model(ledger, c.id)}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_in_whatever_order_cells_end_the_best_by_validation_stays_alone(tmp_path, order):
    ledger, cells = Ledger(tmp_path), [one(i) for i in range(4)]
    validation, test = [0.3, 0.8, 0.8, 0.5], [0.9, 0.1, 0.2, 1.0]
    keeper, seen = Keeper(ledger, "best", cells), []
    for i in order:
        end(ledger, cells[i], validation[i], test[i])
        keeper.ended(cells[i].id)
        seen.append(i)
        assert holders(ledger, cells) == {max(seen, key=lambda k: (validation[k], k))}
    assert all(ledger.read(c.id).score == t for c, t in zip(cells, test, strict=True))


def test_a_metric_of_which_less_is_better(tmp_path):
    ledger, cells = Ledger(tmp_path), [one(i) for i in range(2)]
    keeper = Keeper(ledger, "best", cells)
    for i, value in enumerate((0.2, 0.4)):
        end(ledger, cells[i], value, higher=False)
        keeper.ended(cells[i].id)
    assert holders(ledger, cells) == {0}


def test_each_target_budget_and_training_keeps_one_and_a_closed_form_stands_in_all():
    cells = [one(0), one(1, training="t2"), one(2, labels="all"), one(3, target="u")]
    closed = one(4, training=None)
    few = one(5, labels=9)
    groups = groups_of([*cells, closed, few])
    assert groups["t", 20, "t1"] == [cells[0].id, closed.id]
    assert groups["t", 20, "t2"] == [cells[1].id, closed.id]
    assert len(groups) == 4
    assert not any(few.id in members for members in groups.values()), "nothing validates there"
    assert groups_of([closed]) == {("t", 20, None): [closed.id]}


def test_a_closed_form_stays_as_long_as_it_is_the_best_of_any_training(tmp_path):
    ledger = Ledger(tmp_path)
    closed, first, second = one(0, training=None), one(1), one(2, training="t2")
    keeper = Keeper(ledger, "best", [closed, first, second])
    for made_one, value in ((closed, 0.5), (first, 0.9), (second, 0.4)):
        end(ledger, made_one, value)
        keeper.ended(made_one.id)
    assert holders(ledger, [closed, first, second]) == {0, 1}


def test_two_grids_that_share_cells_lose_no_best(tmp_path):
    ledger, cells = Ledger(tmp_path), [one(i) for i in range(3)]
    small, large = Keeper(ledger, "best", cells[:2]), Keeper(ledger, "best", cells)
    for i, value in ((1, 0.6), (2, 0.9), (0, 0.7)):
        end(ledger, cells[i], value)
        for keeper in (small, large):
            keeper.ended(cells[i].id)
    assert 2 in holders(ledger, cells)


def test_a_grid_that_goes_on_compares_with_what_it_kept_before(tmp_path):
    ledger, cells = Ledger(tmp_path), [one(i) for i in range(3)]
    end(ledger, cells[0], 0.5)
    end(ledger, cells[1], 0.7)  # the process was killed before it removed the first
    again = Keeper(ledger, "best", cells)
    again.begin({cells[0].id, cells[1].id})
    assert holders(ledger, cells) == {1}
    end(ledger, cells[2], 0.6)
    again.ended(cells[2].id)
    assert holders(ledger, cells) == {1}


@pytest.mark.parametrize("why", ["all", "reproduced"])
def test_what_was_kept_on_purpose_is_not_removed(tmp_path, why):
    ledger, cells = Ledger(tmp_path), [one(i) for i in range(2)]
    end(ledger, cells[0], 0.5, why=why)
    keeper = Keeper(ledger, "best", cells)
    keeper.begin({cells[0].id})
    end(ledger, cells[1], 0.9)
    keeper.ended(cells[1].id)
    assert holders(ledger, cells) == {0, 1}


def test_a_cell_whose_classes_were_too_small_to_validate_keeps_nothing(tmp_path):
    ledger, cells = Ledger(tmp_path), [one(0)]
    keeper = Keeper(ledger, "best", cells)
    end(ledger, cells[0], None)
    keeper.ended(cells[0].id)
    assert holders(ledger, cells) == set()


def test_removing_and_giving_weights_leaves_the_index_as_it_was(tmp_path):
    ledger, made_one = Ledger(tmp_path), one(0)
    end(ledger, made_one, 0.5)
    ledger.compact()
    time = ledger.folder(made_one.id).stat().st_mtime_ns
    other = tmp_path / "other"
    other.mkdir()
    (other / WEIGHTS).write_bytes(b"new")
    put(ledger, made_one.id, other, "reproduced")
    assert (model_folder(ledger, made_one.id) / WEIGHTS).read_bytes() == b"new"
    assert why_kept(ledger, made_one.id) == "reproduced"
    drop(ledger, made_one.id)
    drop(ledger, made_one.id)
    assert not has_model(ledger, made_one.id)
    assert ledger.folder(made_one.id).stat().st_mtime_ns == time
    assert ledger.compact() is None, "nothing is new"
    assert not list((tmp_path / "tmp").iterdir())


# What is said -----------------------------------------------------------------------------------


def test_the_plan_says_how_much_disk(tmp_path):
    cells = [one(i, strategy="a" if i < 3 else "b") for i in range(4)]
    names = replace(cells[0].names, architecture="net")
    cells = [replace(c, names=names) for c in cells]
    sizes = {cells[0].id: 30_000_000}
    assert set(estimated(cells, sizes).values()) == {30_000_000}, "of the same architecture"
    (line,) = kept.planned(Keeper(Ledger(tmp_path), "all", cells), cells, set(), sizes)
    assert line == "keeps 4 models, about 120 MB"
    (first,) = kept.planned(Keeper(Ledger(tmp_path), "best", cells), cells, set(), sizes)
    assert first.startswith("keeps 1 model, at most about 30 MB: the best by validation")
    assert kept.planned(Keeper(Ledger(tmp_path), "none", cells), cells, set(), sizes) == []


def test_budgets_that_cannot_be_chosen_from_are_named(tmp_path):
    cells = [one(0, labels=2), one(1, labels=0), one(2, labels=5)]
    (line,) = kept.planned(Keeper(Ledger(tmp_path), "best", cells), cells, set(), {})
    assert line == "keeps none at labels=0,2,5: no validation part to choose by"


def test_done_cells_without_weights_are_counted_and_not_run_again(tmp_path):
    ledger, cells = Ledger(tmp_path), [one(i) for i in range(3)]
    for i, why in enumerate((None, "all")):
        end(ledger, cells[i], 0.5, why=why)
    done = {c.id for c in cells[:2]}
    lines = kept.planned(Keeper(ledger, "all", cells), cells[2:], done, {})
    assert "1 cell done before has none" in lines[1]
    assert "transfergrid reproduce CELL --keep" in lines[1]


def test_a_better_cell_that_was_done_without_being_kept_is_named(tmp_path):
    ledger, cells = Ledger(tmp_path), [one(i) for i in range(2)]
    end(ledger, cells[0], 0.9, why=None)
    keeper = Keeper(ledger, "best", cells)
    keeper.begin({cells[0].id})
    end(ledger, cells[1], 0.5)
    keeper.ended(cells[1].id)
    assert holders(ledger, cells) == {1}
    *_, last = kept.ended(keeper)
    assert re.search(r"transfergrid reproduce 00000000 --keep", last)


def test_only_known_words_say_what_to_keep():
    with pytest.raises(BadInputError, match="keep=bset: give none, best or all"):
        Settings.read(pretend_grid.TRAINER, {}, None, "bset")


# Real cells -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    return made(tmp_path_factory.mktemp("kept"), "domain_adversarial", "distillation")


def test_no_teacher_and_no_discriminator_is_kept(adapted):
    from safetensors import safe_open

    ledger, records = adapted
    for record in records.values():
        with safe_open(model_folder(ledger, record.id) / WEIGHTS, "pt") as file:
            assert {key.split(".")[0] for key in file.keys()} == {"backbone", "head"}  # noqa: SIM118


def test_the_announced_size_is_the_size_on_disk(adapted):
    ledger, records = adapted
    for name, record in records.items():
        size = (model_folder(ledger, record.id) / WEIGHTS).stat().st_size
        assert check_parts(cell(name)) == pytest.approx(size, rel=0.02)


def test_nothing_is_kept_unless_asked(tmp_path):
    record = run_cell(cell("majority"), Ledger(tmp_path), CPU)
    assert not (Ledger(tmp_path).folder(record.id) / MODEL).exists()


def test_the_grid_asks_its_workers_and_settles_after_each_cell(tmp_path):
    ledger, cells = Ledger(tmp_path), [one(0), one(1), one(2, labels=5)]
    settings = Settings.read(pretend_grid.TRAINER, {}, None, "best")
    pool = Pool(ledger, settings, keeper=Keeper(ledger, settings.keep, cells))
    assert [pool._order(c)["keep"] for c in cells] == ["best", "best", None]
    assert Pool(ledger, settings)._order(cells[0])["keep"] is None
    for i, value in enumerate((0.9, 0.5)):
        end(ledger, cells[i], value)
        pool._count(cells[i], None, "")
    assert holders(ledger, cells) == {0}
