"""The union of several domains: a set, its classes by name, read as each domain reads itself."""

from dataclasses import dataclass

import numpy as np
import pytest

from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.examples import ArrayExamples
from transfergrid.data.noise import Noise
from transfergrid.data.several_domains import JoinedExamples, SeveralDomains
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import build, config_of
from transfergrid.records.identity import config_digest
from transfergrid.records.several import each_alone, is_of_several, parts_of
from transfergrid.sources.preprocessing.images import ImagePreprocess


@dataclass(frozen=True, kw_only=True)
class Pictures(Domain):
    """Grey pictures of one brightness, its classes in an order of their own."""

    brightness: int = 0
    size: int = 4
    names: tuple[str, ...] = ("cat", "dog")

    @property
    def classes(self):
        return self.names

    def load(self):
        images = np.full((6, self.size, self.size, 1), self.brightness, dtype=np.uint8)
        images[:, 0, 0, 0] = np.arange(6)
        labels = np.arange(6, dtype=np.int64) % len(self.names)
        pool, test = ArrayExamples(images, labels), ArrayExamples(images[:2], labels[:2])
        return LoadedDomain(pool, test, self.classes)


def union(*parts, **more):
    return SeveralDomains(parts=parts, **more)


DARK = Pictures(brightness=10)
LIGHT = Pictures(brightness=200, size=6, names=("dog", "cat"))


def test_it_is_a_set_whose_order_no_identity_depends_on():
    one, other = union(DARK, LIGHT, names=("d", "l")), union(LIGHT, DARK, names=("l", "d"))
    assert one == other
    assert config_digest(config_of(one)) == config_digest(config_of(other))
    unnamed = union(DARK, LIGHT)
    assert config_digest(config_of(unnamed)) == config_digest(config_of(one))
    assert config_digest(config_of(union(DARK, Pictures(brightness=11)))) != config_digest(
        config_of(one)
    )


def test_names_go_with_their_domains():
    made = union(LIGHT, DARK, names=("light", "dark"))
    assert {name: part.brightness for name, part in zip(made.names, made.parts, strict=True)} == {
        "light": 200,
        "dark": 10,
    }


def test_labels_are_matched_by_name_and_all_examples_are_there():
    made = union(DARK, LIGHT)
    loaded = made.load()
    assert set(made.classes) == {"cat", "dog"}
    assert (len(loaded.pool), len(loaded.test)) == (12, 4)
    everything = loaded.pool.read(np.arange(12))
    seen = {
        (int(image[-1, -1, 0]), int(image[0, 0, 0]), made.classes[label])
        for image, label in zip(everything, loaded.pool.labels, strict=True)
    }
    dark = {(10, i, ("cat", "dog")[i % 2]) for i in range(6)}
    light = {(200, i, ("dog", "cat")[i % 2]) for i in range(6)}
    assert seen == dark | light
    counts = np.bincount(loaded.pool.labels).tolist()
    assert made.outline().pool == tuple(counts) == (6, 6)


def test_classes_that_only_one_domain_has_are_classes_of_the_union():
    more = Pictures(brightness=3, names=("cow", "dog", "cat"))
    made = union(DARK, more)
    assert sorted(made.classes) == ["cat", "cow", "dog"]
    assert dict(zip(made.classes, made.outline().pool, strict=True)) == {
        "cat": 5,
        "dog": 5,
        "cow": 2,
    }


@pytest.mark.parametrize("order", [[0, 11, 3, 7], [0, 1, 6, 7], [8, 7], []])
def test_any_order_of_reading_gives_the_same_examples(order):
    pool = union(DARK, LIGHT).load().pool
    indices = np.array(order, dtype=np.int64)
    whole = pool.read(np.arange(12))
    preprocess = ImagePreprocess((4, 4), 1, (0.5,), (0.5,))
    read = preprocess.prepare(pool.read(indices))
    assert [image.tolist() for image in pool.read(indices)] == [whole[i].tolist() for i in order]
    parts = [preprocess.prepare(part) for part in pool.in_parts(indices)]
    assert sum(map(len, parts)) == len(order)
    for one, other in zip([x for part in parts for x in part], read, strict=True):
        assert (one == other).all()


def test_what_no_split_may_cut_apart_is_of_one_domain():
    grouped = ArrayExamples(np.zeros((3, 2, 2, 1), np.uint8), np.zeros(3, np.int64))
    grouped.groups = np.array(["p", "p", "q"])
    plain = ArrayExamples(np.zeros((2, 2, 2, 1), np.uint8), np.zeros(2, np.int64))
    same = np.zeros(1, np.int64)
    found = JoinedExamples([grouped, plain, grouped], [same] * 3).kept_whole
    groups = [np.flatnonzero(found == name).tolist() for name in dict.fromkeys(found)]
    assert groups == [[0, 1], [2], [3], [4], [5, 6], [7]]
    assert JoinedExamples([plain, plain], [same] * 2).kept_whole is None


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([DARK], "two at least"),
        ([DARK, Pictures(brightness=10)], "are the same domain"),
        ([DARK, Pictures(brightness=1, names=("Cat", "dog"))], "'Cat' and 'cat' differ only"),
        ([DARK, Pictures(brightness=1, metric="auroc")], "auroc"),
    ],
)
def test_what_is_no_union_is_told_in_one_line(parts, told):
    with pytest.raises(BadInputError) as refused:
        union(*parts, names=tuple(f"n{i}" for i, _ in enumerate(parts))).check()
    assert told.casefold() in str(refused.value).casefold()
    assert "\n" not in str(refused.value)


def test_a_source_of_several_domains_is_each_of_them_alone():
    made = config_of(union(Noise(), Noise(seed=3)))
    source = {"_target_": "a.B", "domain": made, "steps": 3}
    alone = each_alone(source)
    assert [is_of_several(one["domain"]) for one in (source, *alone)] == [True, False, False]
    assert [one["domain"]["seed"] for one in alone] == [part["seed"] for part in parts_of(made)]
    assert all(one["steps"] == 3 for one in alone)
    assert build(made).learnable is False
    assert union(Noise(), Pictures()).learnable is False
