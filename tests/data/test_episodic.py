"""Few-shot episodes as a target: which classes, which examples, and that none is in both parts."""

import numpy as np
import pytest

from transfergrid.data.episodic import Episodic
from transfergrid.data.glyph_angles import GlyphAngles
from transfergrid.data.glyphs import Glyphs
from transfergrid.data.opened import OpenDomain
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of

INNER = Glyphs(characters="ABCDEFG", per_class=12, test_per_class=9)
TOLD = {"domain": INNER, "ways": 3, "queries": 4, "episodes": 6, "supports": 5}


def origin(examples, places, whole):
    """Return where pictures stand among all of them, by what they look like."""
    table = {image.tobytes(): row for row, image in enumerate(whole)}
    return [table[image.tobytes()] for image in examples.read(places)]


@pytest.fixture(scope="module")
def loaded():
    return Episodic(**TOLD).load(), INNER.load()


def test_support_and_query_are_of_the_classes_of_their_episode(loaded):
    episodes, inner = loaded
    drawn = set()
    for number in range(6):
        support, query = episodes.rounds.support(number, 5), episodes.rounds.query(number)
        assert (len(support), len(query)) == (15, 12)
        classes = []
        for part, places, whole in (("pool", support, inner.pool), ("test", query, inner.test)):
            examples = getattr(episodes, part)
            rows = origin(examples, places, whole.images)
            ways = examples.labels[places]
            named = {(int(w), int(whole.labels[r])) for w, r in zip(ways, rows, strict=True)}
            assert len(named) == 3, "each way is one class"
            assert len(set(rows)) == len(rows), "no example twice"
            classes.append(named)
        assert classes[0] == classes[1], "a way is the same class in support and query"
        drawn.add(frozenset(label for _, label in classes[0]))
    assert len(drawn) > 1, "episodes are of other classes"


def test_fewer_shots_are_the_first_of_more(loaded):
    rounds = loaded[0].rounds
    for number in (0, 3):
        assert set(rounds.support(number, 2)) < set(rounds.support(number, 5))
        assert np.array_equal(rounds.support(number, "all"), rounds.support(number, 5))
        assert np.array_equal(rounds.support(number, 99), rounds.support(number, 5))


def test_test_items_of_an_episode_are_one_cluster(loaded):
    test = loaded[0].test
    assert len(np.unique(test.clusters)) == 6
    for number in range(6):
        assert len(set(test.clusters[loaded[0].rounds.query(number)])) == 1


def test_all_seeds_see_the_same_episodes_and_begin_with_the_first():
    target = OpenDomain(config_of(Episodic(**TOLD)))
    one, other = target.draw(2, 0), target.draw(2, 1)
    assert np.array_equal(one.train, other.train)
    assert np.array_equal(one.train, target.loaded.rounds.support(0, 2))
    assert not len(one.validation)
    assert not len(one.unlabelled)
    assert one.per_class == {"0": 2, "1": 2, "2": 2}
    assert target.draw(9, 0).short == {"all": (9, 5)}
    with pytest.raises(BadInputError, match="holds no labels back"):
        target.hold_out(one, 2, 10, 0)


def test_another_seed_is_of_other_episodes():
    one, other = (Episodic(**TOLD, seed=seed).load() for seed in (0, 1))
    rows = slice(0, 15)
    assert not np.array_equal(one.pool.read(np.arange(90)[rows]), other.pool.read(np.arange(15)))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"ways": 8}, "target.ways=8: target.domain has 7 classes"),
        ({"queries": 10}, "takes 10 examples of a class from the test part of .*, and A has 9"),
        ({"domain": GlyphAngles()}, "target.domain holds numbers"),
        ({"ways": 1}, "ways"),
        ({"metric": "mae"}, "mae is a metric of numbers"),
    ],
)
def test_what_cannot_be_is_one_line(changed, told):
    with pytest.raises(BadInputError, match=told):
        Episodic(**{**TOLD, **changed}).check()


def test_it_offers_what_its_rarest_class_has():
    few = Glyphs(characters="ABC", per_class=3, test_per_class=9)
    target = Episodic(**{**TOLD, "domain": few})
    assert target.outline().pool == (3, 3, 3)
    assert target.load().rounds.supports == 3
