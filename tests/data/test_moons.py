"""Two moons: where their points lie, and what each shift does to them."""

import numpy as np
import pytest
from sklearn.datasets import make_moons

from transfergrid.data.copies.duplicates import copies_between
from transfergrid.data.moons import CLASSES, COLUMNS, Moons
from transfergrid.records.arguments import kinds, resolved
from transfergrid.records.errors import BadInputError

SHIFTS = (
    *("translated", "scaled", "rotated", "sheared", "all"),
    *("skewed_classes", "salt_and_pepper", "overlapping", "sub_clusters"),
)
ROOT = 0.5**0.5


def points(domain, part="pool"):
    """Return points as they were drawn, and labels."""
    examples = getattr(domain.load(), part)
    return examples.values, examples.labels


def both(shift, strength=1.0, **told):
    """Return the points without and under a shift."""
    return points(Moons(**told))[0], points(Moons(shift=shift, strength=strength, **told))[0]


def test_without_noise_they_are_scikit_learns():
    found, labels = points(Moons(per_class=50, noise=0.0))
    expected, classes = make_moons(100, shuffle=False, noise=None)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(labels, classes)


def test_noise_is_normal_about_them():
    found, _ = points(Moons(per_class=4000))
    off = found - make_moons(8000, shuffle=False, noise=None)[0]
    np.testing.assert_allclose(off.std(0), 0.1, rtol=0.03)
    np.testing.assert_allclose(off.mean(0), 0, atol=0.005)


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        ("none", [(1, 0), (-1, 0), (0, 0.5), (2, 0.5)]),
        ("translated", [(3, 2), (1, 2), (2, 2.5), (4, 2.5)]),
        ("scaled", [(1.5, 0), (-1.5, 0), (0, 0.75), (3, 0.75)]),
        (
            "rotated",
            [(ROOT, ROOT), (-ROOT, -ROOT), (-ROOT / 2, ROOT / 2), (1.5 * ROOT, 2.5 * ROOT)],
        ),
        ("sheared", [(1, 1.5), (-1, -1.5), (0, 0.5), (2, 3.5)]),
        (  # (3, 2) -> (1, 5) / √2 -> twice that -> y + x
            "all",
            [
                (2 * ROOT, 12 * ROOT),
                (-2 * ROOT, 4 * ROOT),
                (-ROOT, 8 * ROOT),
                (3 * ROOT, 16 * ROOT),
            ],
        ),
    ],
)
def test_the_ends_of_the_moons_worked_out_by_hand(shift, expected):
    found, _ = points(Moons(shift=shift, per_class=2, noise=0.0))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_half_a_shift_is_half_of_it():
    plain, moved = both("translated", 0.5)
    np.testing.assert_allclose(moved - plain, 1.0)
    plain, moved = both("rotated", 0.5)
    turn = np.angle(moved @ [1, 1j]) - np.angle(plain @ [1, 1j])
    np.testing.assert_allclose(np.mod(turn, 2 * np.pi), np.pi / 8)
    plain, moved = both("scaled", 2.0)
    np.testing.assert_allclose(moved, 2 * plain)


@pytest.mark.parametrize("shift", SHIFTS)
def test_without_strength_nothing_moves(shift):
    for part in ("pool", "test"):
        plain, moved = (points(Moons(**t), part) for t in ({}, {"shift": shift, "strength": 0.0}))
        for one, other in zip(plain, moved, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shift", SHIFTS)
def test_each_shift_moves_something_and_comes_out_alike_twice(shift):
    first, again = (points(Moons(shift=shift)) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    plain = points(Moons())[0]
    assert first[0].shape != plain.shape or not np.array_equal(first[0], plain)


def test_skewed_classes_smear_the_upper_moon_alone():
    plain, moved = both("skewed_classes", per_class=2000)
    off = (moved - plain)[:2000]
    most = 1.5 * plain[:2000].std()
    assert (off >= 0).all()
    assert (off <= most).all()
    np.testing.assert_allclose(off.mean(0), most / 2, rtol=0.05)
    np.testing.assert_array_equal(moved[2000:], plain[2000:])


def test_salt_and_pepper_puts_a_tenth_of_the_points_anywhere():
    plain, moved = both("salt_and_pepper", per_class=2000)
    other = (moved != plain).any(axis=1)
    assert other.sum() == 400
    assert 150 < other[:2000].sum() < 250
    assert (moved >= plain.min(0)).all()
    assert (moved <= plain.max(0)).all()
    middle = (plain.min(0) + plain.max(0)) / 2
    np.testing.assert_allclose(moved[other].mean(0), middle, atol=0.15)


def test_overlapping_moons_are_the_same_with_more_noise():
    plain, moved = both("overlapping")
    middle = make_moons(600, shuffle=False, noise=None)[0]
    np.testing.assert_allclose(moved - middle, 3.3 * (plain - middle), atol=1e-9)


def test_a_sub_cluster_is_a_sixth_of_all_more_and_of_one_class():
    domain = Moons(shift="sub_clusters", per_class=3000)
    found, labels = points(domain)
    np.testing.assert_array_equal(found[:6000], points(Moons(per_class=3000))[0])
    cluster = found[6000:]
    assert len(cluster) == 1000
    assert not labels[6000:].any()
    np.testing.assert_allclose(cluster.mean(0), (-0.5, -0.5), atol=0.02)
    np.testing.assert_allclose(cluster.std(0), 0.15, rtol=0.06)


@pytest.mark.parametrize("shift", ["none", *SHIFTS])
def test_the_outline_is_what_is_drawn_and_splits_share_no_point(shift):
    domain = Moons(shift=shift, strength=1.7)
    loaded, outline = domain.load(), domain.outline()
    assert (outline.classes, loaded.classes) == (CLASSES, CLASSES)
    for part in ("pool", "test"):
        labels = getattr(loaded, part).labels
        assert tuple(np.bincount(labels)) == getattr(outline, part)
    seen = [{row.tobytes() for row in part.values} for part in (loaded.pool, loaded.test)]
    assert not seen[0] & seen[1]


def test_points_are_read_as_they_are():
    loaded = Moons(shift="translated").load()
    assert loaded.pool.scaling.columns == Moons().vector == COLUMNS
    np.testing.assert_array_equal(
        loaded.pool.read(np.arange(600)), loaded.pool.values.astype("float32")
    )


def test_a_source_of_the_same_seed_is_found_out_and_one_of_another_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path))
    target = Moons().load()
    same = copies_between(Moons().load().test, target, "vector", "same")
    assert same.exact.all()
    other = copies_between(Moons(seed=1).load().pool, target, "vector", "other")
    assert not other.exact.any()
    assert not other.near.any()


def test_there_are_ten_kinds():
    known = resolved(Moons, Moons.__annotations__["shift"])
    assert len([*kinds(known)]) == 10
    for message, told in (
        ("unknown shift 'rotate'.*rotated", {"shift": "rotate"}),
        ("strength must be from 0: -1", {"strength": -1.0}),
        ("per_class must be a whole number from 1: 0", {"per_class": 0}),
    ):
        with pytest.raises(BadInputError, match=message):
            Moons(**told)
