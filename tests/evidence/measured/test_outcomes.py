"""Bits tell of the test items what the predictions tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_factory import made, predicted
from transfergrid.evidence.measured.gains import estimated
from transfergrid.evidence.measured.outcomes import Outcomes, clusters, right
from transfergrid.evidence.measured.results import results_of
from transfergrid.evidence.statistics.intervals import (
    SEEDS_AND_GROUPS,
    SEEDS_AND_ITEMS,
    THIS_MODEL,
    THIS_TEST_SET,
    over_blocks_and_items,
)
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import Packed, Predictions, items_of, packed, unpacked
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Scores


def refuse(identity):
    raise BadInputError(f"{identity} was not kept")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_what_is_packed_comes_back_whatever_the_number_of_items(hits):
    bits = packed(predicted(hits))
    assert bits.unpacked().tolist() == [int(hit) for hit in hits]
    assert (bits.n, len(bits.bits)) == (len(hits), -(-len(hits) // 8))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 7), st.integers(2, 40), st.integers(0, 10**6))
def test_bits_give_the_crossed_estimate_that_the_predictions_give(n, items, seed):
    hits = np.random.default_rng(seed).random((2, n, items)) < 0.6
    said, pairs = {}, []
    for block in range(n):
        cells = []
        for arm in (0, 1):
            mean = float(hits[arm, block].mean())
            cell = made(f"s{arm}", seed=block, scores=Scores(test={"accuracy": mean}))
            said[cell.id] = predicted(hits[arm, block])
            cells.append(cell)
        pairs.append((cells[1], cells[0]))
    known = {identity: packed(one) for identity, one in said.items()}
    expected = over_blocks_and_items(100.0 * (hits[1].astype(float) - hits[0]))
    assert estimated(pairs, Outcomes(refuse, known)) == expected
    assert estimated(pairs, Outcomes(said.__getitem__)) == expected
    assert estimated(pairs, said.__getitem__) == expected


def test_cells_with_other_items_do_not_cross():
    """Equal counts of items are not enough: their classes, in order, stand for them."""
    first, second = predicted([True] * 6), predicted([True] * 6)
    turned = Predictions(second.probabilities[::-1], second.labels[::-1])
    assert items_of(first) == items_of(second) != items_of(turned)
    said, pairs = {}, []
    for seed, kept in enumerate((first, turned)):
        cells = [made(name, seed=seed, score=0.5 + 0.1 * seed) for name in ("x", "scratch")]
        said |= {cell.id: kept for cell in cells}
        pairs.append((cells[0], cells[1]))
    assert estimated(pairs, said.__getitem__).scope == THIS_TEST_SET
    said = dict.fromkeys(said, first)
    assert estimated(pairs, said.__getitem__).scope == SEEDS_AND_ITEMS


def test_one_block_without_predictions_leaves_the_seeds_alone():
    pairs = [
        (made("x", seed=seed, score=0.7 + 0.1 * seed), made(seed=seed, score=0.6))
        for seed in range(3)
    ]
    known = {cell.id: packed(predicted([True, False])) for pair in pairs[:2] for cell in pair}
    assert estimated(pairs, Outcomes(refuse, known)).scope == THIS_TEST_SET


def test_known_bits_are_taken_and_predictions_are_opened_only_where_there_are_none():
    opened = []

    def read(identity):
        opened.append(identity)
        return predicted([True, False])

    outcomes = Outcomes(read, {"a": Packed(b"\x60", 3, "items")})
    assert right(outcomes, "a").unpacked().tolist() == [0, 1, 1]
    assert opened == []
    assert right(outcomes, "b").unpacked().tolist() == [1, 0]
    assert outcomes("a").correct().tolist() == [True, False]
    assert opened == ["b", "a"]


def test_what_was_not_kept_is_told():
    with pytest.raises(BadInputError, match="c was not kept"):
        Outcomes(refuse).right("c")


def test_several_cells_are_unpacked_at_once():
    rows = [[True, False, True, True, False, False, True, True, True], [False] * 9]
    assert unpacked([packed(predicted(row)) for row in rows]).tolist() == [
        [int(hit) for hit in row] for row in rows
    ]


# What items depend on ----------------------------------------------------------------------------


def grouped(hits, **told):
    return predicted(hits)._replace(**{name: np.asarray(of) for name, of in told.items()})


def test_groups_are_clusters_unless_clusters_are_declared():
    patients, hospitals = ["p", "q", "p", "r"], ["A", "A", "B", "B"]
    hits = [True] * 4
    assert predicted(hits).dependent() is None
    assert grouped(hits, groups=patients).dependent().tolist() == [0, 1, 0, 2]
    both = grouped(hits, groups=hospitals, clusters=patients)
    assert both.dependent().tolist() == [0, 1, 0, 2]
    assert grouped(hits, groups=hospitals, clusters=range(4)).dependent() is None  # independent
    assert both.only(np.array([0, 2])).dependent().tolist() == [0, 0]


def test_clusters_are_kept_without_their_names_and_older_files_stay_readable(tmp_path):
    ledger = Ledger(tmp_path)
    new, old, plain = (made(seed=seed) for seed in range(3))
    ledger.write(
        new, grouped([True] * 4, groups=list("AABB"), clusters=["ann", "bob", "ann", "cy"])
    )
    ledger.write(old, grouped([True] * 4, groups=list("AABB")))  # as before there were clusters
    ledger.write(plain, predicted([True] * 4))
    assert ledger.predictions(new.id).clusters.tolist() == [0, 1, 0, 2]
    _, outcomes = results_of(ledger)
    found = [clusters(outcomes, cell.id) for cell in (new, old, plain)]
    assert [None if of is None else of.tolist() for of in found] == [
        [0, 1, 0, 2],
        [0, 0, 1, 1],
        None,
    ]
    ledger.compact()
    again, outcomes = results_of(Ledger(tmp_path))
    assert len(again) == 3
    assert clusters(outcomes, old.id).tolist() == [0, 0, 1, 1]


def test_of_all_cells_on_the_same_items_one_is_opened_for_its_clusters():
    opened = []

    def read(identity):
        opened.append(identity)
        return grouped([True] * 4, groups=list("AABB"))

    bits = packed(grouped([True] * 4, groups=list("AABB")))
    outcomes = Outcomes(read, dict.fromkeys("abc", bits) | {"d": packed(predicted([True] * 4))})
    assert [clusters(outcomes, name).tolist() for name in "abc"] == [[0, 0, 1, 1]] * 3
    assert clusters(outcomes, "d") is None
    assert opened == ["a"]


@pytest.mark.parametrize("n", [1, 4])
def test_a_gain_over_clusters_is_that_of_their_means_however_it_is_read(n):
    hits = np.random.default_rng(0).random((2, n, 40)) < 0.6
    of = np.arange(40) // 4
    said, pairs = {}, []
    for block in range(n):
        cells = []
        for arm in (0, 1):
            mean = float(hits[arm, block].mean())
            cell = made(f"s{arm}", seed=block, scores=Scores(test={"accuracy": mean}))
            said[cell.id] = grouped(hits[arm, block], clusters=of)
            cells.append(cell)
        pairs.append((cells[1], cells[0]))
    gains = 100.0 * (hits[1].astype(float) - hits[0])
    expected = over_blocks_and_items(gains.reshape(n, 10, 4).mean(axis=2))
    known = {identity: packed(one) for identity, one in said.items()}
    for read in (said.__getitem__, Outcomes(said.__getitem__, known)):
        found = estimated(pairs, read)
        assert (found.mean, found.se, found.df) == pytest.approx(
            (expected.mean, expected.se, expected.df)
        )
        assert (found.items, found.scope) == (10, SEEDS_AND_GROUPS if n > 1 else THIS_MODEL)


def test_cells_whose_items_depend_otherwise_do_not_cross():
    said, pairs = {}, []
    for seed in range(3):
        cells = [made(name, seed=seed, score=0.5 + 0.1 * seed) for name in ("x", "scratch")]
        said |= {cell.id: grouped([True, False] * 4, clusters=np.arange(8) // 2) for cell in cells}
        pairs.append((cells[0], cells[1]))
    said[pairs[1][0].id] = grouped([True, False] * 4, clusters=np.arange(8) % 4)
    assert estimated(pairs, said.__getitem__).scope == THIS_TEST_SET
