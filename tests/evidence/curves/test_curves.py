"""Records become curves: paired by block, one way of drawing labels, complete seeds only."""

from dataclasses import replace

import numpy as np
import pytest

from curve_records import study
from ledger_factory import made
from transfergrid.evidence.curves.assembly import (
    VALIDATION,
    label_curves,
    step_curves,
    step_means,
)
from transfergrid.evidence.curves.measures import Axis
from transfergrid.evidence.statistics.intervals import (
    SEEDS_AND_GROUPS,
    SEEDS_AND_ITEMS,
    THIS_TEST_SET,
    over_blocks_and_clusters,
)
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.record import Data, Metric, Scores


def only(found):
    (curve,), none = found
    assert not none
    return curve


def test_a_curve_holds_both_arms_at_every_budget():
    records, kept = study()
    curve = only(label_curves(records, kept.__getitem__))
    assert [point.x for point in curve.points] == [2, 20]
    assert (curve.n, curve.scope, curve.against) == (3, SEEDS_AND_ITEMS, Axis.LABELS)
    arm = [100 * cell.score for cell in records if cell.labels == 2 and cell.names.source]
    assert curve.points[0].arm_mean == pytest.approx(np.mean(arm))
    assert curve.measures.jumpstart.value == pytest.approx(curve.points[0].gain)
    assert len(curve.cells) == len(curve.baseline_cells) == 6
    gaps = [100 - 100 * cell.score for cell in records if cell.names.source]
    assert curve.overfitting.arm.value == pytest.approx(np.mean(gaps))


def test_of_clusters_a_curve_counts_what_the_clusters_gain():
    records, kept = study()
    items = len(next(iter(kept.values())).labels)
    of = np.arange(items) // 5
    said = {name: one._replace(clusters=of) for name, one in kept.items()}
    curve = only(label_curves(records, said.__getitem__))
    assert curve.scope == SEEDS_AND_GROUPS
    at_two = {cell.id: cell for cell in records if cell.labels == 2}
    arms = [cell for cell in at_two.values() if cell.names.source]
    gains = [
        100.0 * (kept[cell.id].correct().astype(float) - kept[cell.baseline.id].correct())
        for cell in sorted(arms, key=lambda cell: cell.seed)
    ]
    expected = over_blocks_and_clusters(np.stack(gains), of.astype(np.int32))
    shown = curve.points[0]
    assert (shown.gain, shown.gain_low, shown.gain_high) == pytest.approx(
        (expected.mean, *expected.interval())
    )


def test_without_predictions_intervals_speak_of_this_test_set():
    records, _ = study()

    def missing(identity):
        raise BadInputError("not kept")

    assert only(label_curves(records, missing)).scope == THIS_TEST_SET
    assert only(label_curves(records)).scope == THIS_TEST_SET


def test_all_labels_are_drawn_another_way_and_stand_beside_the_curve():
    records, kept = study((2, 20, "all"))
    curve = only(label_curves(records, kept.__getitem__))
    assert [point.x for point in curve.points] == [2, 20]
    assert curve.beside.x == 100
    assert any("beside" in note for note in curve.notes)


def test_all_labels_are_a_point_where_k_labels_are_drawn_as_they_come_too():
    records, kept = study((2, 20, "all"))
    natural = [
        replace(cell, config={**cell.config, "target": {"sampling": "natural"}}) for cell in records
    ]
    curve = only(label_curves(natural, kept.__getitem__))
    assert [point.x for point in curve.points] == [2, 20, 100]
    assert curve.beside is None


def test_a_seed_that_lacks_a_budget_is_left_out_and_counted():
    records, kept = study()
    short = [cell for cell in records if (cell.seed, cell.labels) != (2, 20)]
    curve = only(label_curves(short, kept.__getitem__))
    assert curve.n == 2
    assert "1 of 3 seeds lack a budget and are left out" in curve.notes


def test_what_is_no_curve_is_told_in_words():
    curves, (none,) = label_curves(study((20,))[0])
    assert not curves
    assert none.reason == "one budget of labels, 20 a class: a curve takes two"
    (none,) = label_curves(study(("all",))[0])[1]
    assert none.reason.startswith("no budget of k labels")
    apart = [cell for cell in study()[0] if (cell.seed == 0) == (cell.labels == 2)]
    (none,) = label_curves(apart)[1]
    assert none.reason == "no seed has both arms at every label budget"


def test_the_sources_labels_are_charged_in_the_given_exchange():
    records, _ = study()
    assert only(label_curves(records)).charge == 1600  # 3,200 labels for two classes
    assert only(label_curves(records, exchange=0.01)).charge == 16
    free = only(label_curves(records, exchange=0))
    assert (free.charged, free.break_even.value) == (None, None)


def test_where_lower_is_better_gains_are_turned_and_scores_are_not():
    records, _ = study(metric=Metric(name="loss", higher_is_better=False))
    losses = [
        replace(cell, scores=Scores(test={"loss": 1.0 - cell.scores.test["accuracy"]}))
        for cell in records
    ]
    curve = only(label_curves(losses, threshold=0.2))
    assert curve.points[0].arm_mean < curve.points[0].baseline_mean
    assert curve.points[0].gain > 0
    assert curve.threshold == 0.2
    assert curve.measures.reach.baseline.relation == "="
    assert curve.measures.transfer_ratio.value is None
    assert curve.overfitting.gain.note == "training scores were not recorded"


def recorded(cell):
    rise = np.array([60.0, 80, 90]) if cell.names.source else np.array([40.0, 70, 85])
    return {"validation_step": np.array([20, 40, 60]), "validation_score": (rise + cell.seed) / 100}


def test_curves_over_steps_are_of_the_validation_scores():
    records, _ = study((20,))
    by_id = {cell.id: recorded(cell) for cell in records}
    curve = only(step_curves(records, by_id.__getitem__))
    assert [point.x for point in curve.points] == [20, 40, 60]
    assert (curve.labels, curve.scope) == (20, "no interval")  # the gain is the same in all seeds
    assert curve.measures.jumpstart.value == pytest.approx(20)
    assert curve.points[0].arm_mean == pytest.approx(61)
    assert (curve.charge, curve.charged.area.gain.value) == (400, None)
    assert any("validation" in note for note in curve.notes)


def test_each_cells_curves_are_opened_once_however_many_arms_it_is_compared_with():
    records, _ = study((2, 20))
    by_id = {cell.id: recorded(cell) for cell in records}
    others = [
        replace(cell, id=f"other {cell.id}", parts=replace(cell.parts, strategy="other"))
        for cell in records
        if cell.names.source
    ]
    by_id |= {cell.id: recorded(cell) for cell in others}
    for read in (step_curves, step_means):
        opened = []

        def curves_of(identity, opened=opened):
            opened.append(identity)
            return by_id[identity]

        read([*records, *others], curves_of)
        assert sorted(opened) == sorted(by_id)


def test_the_points_of_a_chart_are_those_of_the_curves_over_steps():
    records, _ = study((2, 20))
    by_id = {cell.id: recorded(cell) for cell in records}
    curves, _ = step_curves(records, by_id.__getitem__)
    means = step_means(records, by_id.__getitem__)
    assert [curve.cells[0] for curve in curves] == [one.cell for one in means]
    for curve, one in zip(curves, means, strict=True):
        assert one.steps == tuple(point.x for point in curve.points)
        assert one.arm == pytest.approx([point.arm_mean for point in curve.points])
        assert one.baseline == pytest.approx([point.baseline_mean for point in curve.points])


def test_gains_over_steps_cover_seeds_with_a_validation_part_each():
    records, _ = study((20,))
    rng = np.random.default_rng(0)
    by_id = {
        cell.id: {**(own := recorded(cell)), "validation_score": own["validation_score"]
                  + rng.normal(0, 0.01, 3)}
        for cell in records
    }  # fmt: skip
    assert only(step_curves(records, by_id.__getitem__)).scope == VALIDATION


def test_where_nothing_validates_there_is_no_curve_over_steps():
    nothing = {"validation_step": np.array([], int), "validation_score": np.array([])}
    curves, none = step_curves(study((2,))[0], lambda identity: nothing)
    assert not curves
    assert "nothing validates" in none[0].reason


def of_numbers(offs, pool=800):
    """Return cells of ages, off by so much at each budget, and what reads their predictions.

    Args:
        offs: by budget, by how many years scratch and the arm are off, to either side in turn.
        pool: labels that there are in all.
    """
    labels = np.arange(10, dtype=np.float32) + 40
    sides = np.where(np.arange(10) % 2, 1, -1)
    cells, said = [], {}
    for budget, (base_off, arm_off) in offs.items():
        for seed in range(3):
            base = made("scratch", labels=budget, seed=seed, target="ages")
            arm = made("l2_sp", "birds", labels=budget, seed=seed, target="ages", baseline=base)
            for cell, off in ((base, base_off), (arm, arm_off)):
                errors = sides * off * (1 + 0.1 * seed)
                said[cell.id] = Predictions((labels + errors)[:, None].astype(np.float32), labels)
                mae = {"mae": float(np.abs(errors).mean())}
                data = Data(train=pool if budget == "all" else budget, outputs=("age",))
                metric = Metric(name="mae", higher_is_better=False)
                cells.append(replace(cell, data=data, metric=metric, scores=Scores(test=mae)))
    return cells, said


def test_labels_of_numbers_are_counted_in_total_and_all_of_them_end_the_curve():
    """Off by 6, 4, 2 years against 3, 2, 4: of three seeds the mean is 1.1 times as much."""
    cells, said = of_numbers({50: (6.0, 3.0), 200: (4.0, 2.0), "all": (2.0, 4.0)})
    curve = only(label_curves(cells, said.__getitem__))
    assert [point.x for point in curve.points] == [50, 200, 800]
    assert curve.beside is None
    assert not any("drawn as they come" in note for note in curve.notes)
    assert [point.gain for point in curve.points] == pytest.approx([3.3, 2.2, -2.2], rel=1e-5)
    assert [point.arm_mean for point in curve.points] == pytest.approx([3.3, 2.2, 4.4], rel=1e-5)
    assert curve.measures.jumpstart.value == pytest.approx(3.3, rel=1e-5)
    # equal ratios, equal lengths: (3.3 + 2.2) / 4 + (2.2 - 2.2) / 4
    assert curve.measures.area.gain.value == pytest.approx(1.375, rel=1e-5)
    crossing = curve.measures.crossover
    assert (crossing.kind, crossing.after, crossing.before) == ("between", 200, 800)
    assert "below zero at 800 in total" in crossing.note
    # the mean gain falls from 2.2 to -2.2 over two doublings: to zero after one
    assert crossing.value == pytest.approx(400, rel=1e-3)


def test_errors_are_means_over_items_so_intervals_cover_these():
    cells, said = of_numbers({50: (6.0, 3.0), 200: (4.0, 2.0)})
    assert only(label_curves(cells, said.__getitem__)).scope == SEEDS_AND_ITEMS
    patients = {name: one._replace(clusters=np.arange(10) // 2) for name, one in said.items()}
    assert only(label_curves(cells, patients.__getitem__)).scope == SEEDS_AND_GROUPS
    assert only(label_curves(cells)).scope == THIS_TEST_SET


def test_one_budget_of_numbers_is_told_in_total():
    cells, said = of_numbers({50: (6.0, 3.0)})
    _, (none,) = label_curves(cells, said.__getitem__)
    assert none.reason == "one budget of labels, 50 in total: a curve takes two"
