"""Copies of test examples in the source domain: counted, and not learned beside the target."""

import json

import numpy as np
import pytest

from transfergrid.data.arrays import Arrays
from transfergrid.data.noise import Noise
from transfergrid.data.opened import OpenDomain
from transfergrid.records.factory import config_of
from transfergrid.records.needs import Needs
from transfergrid.runs.allowed import add_source_domain, target_data
from transfergrid.runs.source_copies import source_copies
from transfergrid.sources.preprocessing.images import ImagePreprocess

SIDE_BY_SIDE = Needs(domains=1)
PLAIN = ImagePreprocess((6, 6), 1, (0.5,), (0.5,))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path_factory.mktemp("cache")))


def images(n, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, 6, 6), dtype=np.uint8)


def saved(file, train, test):
    labels = {"y_train": np.arange(len(train)) % 2, "y_test": np.arange(len(test)) % 2}
    np.savez(file, x_train=train, x_test=test, **labels)
    return str(file)


@pytest.fixture
def domains(tmp_path):
    """A target, and a source that has three of its ten test images, one of them twice."""
    test = images(10, 0)
    theirs = np.concatenate([images(20, 1), test[[4, 2, 2, 7]]])
    target = saved(tmp_path / "target.npz", images(12, 2), test)
    return target, config_of(Arrays(saved(tmp_path / "source.npz", theirs, images(4, 3))))


def opened(file, **arguments):
    return OpenDomain(config_of(Arrays(file, **arguments)))


def source(domain, **about):
    return {"_target_": "a.B", "domain": domain, "about": about}


def test_copies_are_counted_where_the_domain_is_learned_from(domains):
    target, domain = domains
    found = source_copies(source(domain), SIDE_BY_SIDE, opened(target))
    assert found.notes == {"exact": 3, "near": 0, "dropped": 0}
    assert found.kept is None
    trained = source_copies(source(domain, start="start"), Needs(), opened(target))
    assert trained.notes == found.notes


@pytest.mark.parametrize(
    ("needs", "about"),
    [
        (Needs(), {}),  # a domain beside weights that are from elsewhere
        (Needs(source="architecture"), {"start": "start"}),
        (Needs(source="start"), {"start": "start"}),
        (Needs(source="none"), {"start": "start"}),
    ],
)
def test_a_cell_that_learns_nothing_from_the_domain_has_no_copies(domains, needs, about):
    target, domain = domains
    assert source_copies(source(domain, **about), needs, opened(target)).notes == {}
    assert source_copies(None, needs, opened(target)).notes == {}


def test_domains_that_are_drawn_here_are_not_searched(domains):
    drawn = config_of(Noise(n_classes=2, size=6, per_class=3, test_per_class=3))
    assert source_copies(source(drawn), SIDE_BY_SIDE, opened(domains[0])).notes == {}
    assert source_copies(source(domains[1]), SIDE_BY_SIDE, OpenDomain(drawn)).notes == {}


def test_dropping_leaves_them_out_of_what_is_learned_beside_the_target(domains):
    file, domain = domains
    target = opened(file, duplicates="drop")
    found = source_copies(source(domain), SIDE_BY_SIDE, target)
    assert found.notes == {"exact": 3, "near": 0, "dropped": 4}
    data = target_data(target, target.draw("all", 0), SIDE_BY_SIDE, PLAIN)
    add_source_domain(data, domain, SIDE_BY_SIDE, PLAIN, found.kept)
    assert data.source[0].indices.tolist() == list(range(20))
    assert data.source[0].labels.tolist() == [i % 2 for i in range(20)]
    made_before = source_copies(source(domain, start="start"), Needs(), target)
    assert (made_before.kept, made_before.notes["dropped"]) == (None, 0)


def test_what_is_remembered_needs_no_source_domain(domains, monkeypatch):
    target, domain = opened(domains[0]), domains[1]
    asked = source(domain, start="start"), Needs(), target
    first = source_copies(*asked)
    monkeypatch.setattr("transfergrid.runs.source_copies.OpenDomain", lambda config: 1 / 0)
    assert source_copies(*asked) == first
    assert json.loads(json.dumps(first.notes)) == first.notes
