"""What a cell sees of several source domains: their union, or one by one."""

from dataclasses import dataclass

import numpy as np
import pytest

from transfergrid.data.arrays import Arrays
from transfergrid.data.noise import Noise
from transfergrid.data.opened import OpenDomain
from transfergrid.data.several_domains import SeveralDomains
from transfergrid.data.streams import CellData
from transfergrid.records.factory import config_of
from transfergrid.records.needs import Needs
from transfergrid.runs.allowed import add_source_domains, target_data
from transfergrid.runs.planning.contamination import contaminated_by
from transfergrid.runs.source_copies import SourceCopies, source_copies
from transfergrid.sources.preprocessing.images import ImagePreprocess
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.several_sources.m3sda import M3sda
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyDomain, TinyPreprocess, TinySource

TINY = SeveralDomains(parts=[TinyDomain(shift=0.3), TinyDomain(shift=0.6)])
POOLED, APART = Needs(domains=1, classes="same"), Needs(domains=2, classes="same")
PLAIN = ImagePreprocess((6, 6), 1, (0.5,), (0.5,))


@dataclass(frozen=True, kw_only=True)
class Named(Noise):
    """Noise that is said to be a known dataset."""

    name: str = "ImageNet-1k"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path_factory.mktemp("cache")))


def sources(needs, noise=None):
    data = CellData(OpenDomain(config_of(TinyDomain())).task, None, None)
    add_source_domains(data, config_of(TINY), needs, TinyPreprocess(), SourceCopies(), noise=noise)
    return data.source


def test_pooled_they_are_one_stream_of_all_and_apart_a_stream_each():
    (union,), each = sources(POOLED), sources(APART)
    assert [len(view) for view in (union, *each)] == [120, 60, 60]
    whole = union.inputs(union.rows)
    for place, view in enumerate(each):
        rows = slice(60 * place, 60 * (place + 1))
        assert (whole[rows] == view.inputs(view.rows)).all()
        assert np.array_equal(union.labels[rows], view.labels)


def test_labels_of_each_domain_have_noise_of_their_own():
    clean, noisy = sources(APART), sources(APART, noise=(0.5, 0))
    wrong = [one.labels != other.labels for one, other in zip(clean, noisy, strict=True)]
    assert all(0.1 < each.mean() < 0.6 for each in wrong)
    assert not np.array_equal(*wrong)


def test_cells_of_both_kinds_run_on_one_source():
    source = TinySource(domain=TINY)
    pooled, apart = (Bench(kind, source=source).run(0) for kind in (SourceOnly, M3sda))
    assert (pooled.fitted.taken["source"], apart.fitted.taken["source"]) == (8, 16)
    assert pooled.setup.drawn is not None
    assert len(pooled.setup.data.source) == 1


# Copies of test examples ------------------------------------------------------------------------


def images(n, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, 6, 6), dtype=np.uint8)


def saved(file, train, test):
    labels = {"y_train": np.arange(len(train)) % 2, "y_test": np.arange(len(test)) % 2}
    np.savez(file, x_train=train, x_test=test, **labels)
    return str(file)


@pytest.mark.parametrize("duplicates", ["keep", "drop"])
def test_copies_are_counted_once_and_dropped_where_they_are(tmp_path, duplicates):
    """Test images 4 and 2 are in the first domain, 2 and 7 in the second, none in the drawn one."""
    test = images(10, 0)
    first = np.concatenate([images(20, 1), test[[4, 2]]])
    second = np.concatenate([test[[2, 7, 7]], images(15, 5)])
    parts = [
        Arrays(saved(tmp_path / "a.npz", first, images(4, 3))),
        Arrays(saved(tmp_path / "b.npz", second, images(4, 4))),
        Noise(n_classes=2, size=6, per_class=3, test_per_class=2),
    ]
    domain = SeveralDomains(parts=parts)
    target = OpenDomain(
        config_of(Arrays(saved(tmp_path / "t.npz", images(12, 2), test), duplicates=duplicates))
    )
    source = {"_target_": "a.B", "domain": config_of(domain), "about": {}}
    found = source_copies(source, APART, target)
    drops = duplicates == "drop"
    assert found.notes == {"exact": 3, "near": 0, "dropped": 5 * drops}
    for needs in (POOLED, APART):
        data = target_data(target, target.draw("all", 0), needs, PLAIN)
        copies = source_copies(source, needs, target)
        add_source_domains(data, config_of(domain), needs, PLAIN, copies)
        assert sum(map(len, data.source)) == 22 + 18 + 6 - 5 * drops
        seen = np.concatenate([view.inputs(view.rows).numpy() for view in data.source])
        kept = {
            image.tobytes()
            for image in PLAIN.finish(PLAIN.prepare(test[..., None]), "none", None).numpy()
        }
        there = sum(image.tobytes() in kept for image in seen)
        assert there == (0 if drops else 5)


# Planning ---------------------------------------------------------------------------------------


def test_what_any_of_them_holds_contaminates():
    domain = SeveralDomains(parts=[Noise(), Named(seed=3)])
    source = {"_target_": "a.B", "architecture": {}, "domain": config_of(domain), "about": {}}
    target = config_of(Noise(seed=1, part_of=("ImageNet-1k",)))
    needs = Needs(source="architecture", domains=2)
    assert contaminated_by(source, needs, target) == ("ImageNet-1k",)
    alone = {**source, "domain": config_of(Noise())}
    assert contaminated_by(alone, Needs(source="architecture", domains=1), target) == ()
