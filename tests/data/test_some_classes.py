"""`only` keeps some classes of any domain: in pool, test and descriptions alike."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest

from composed import composer
from transfergrid.data.arrays import Arrays
from transfergrid.data.digits import Digits
from transfergrid.data.domain import OPTIONAL, Domain, LoadedDomain
from transfergrid.data.examples import ArrayExamples
from transfergrid.data.glyph_angles import GlyphAngles
from transfergrid.data.glyphs import Glyphs
from transfergrid.data.image_folder import ImageFolder
from transfergrid.data.opened import OpenDomain
from transfergrid.data.outline import outlined
from transfergrid.data.text_table import TextTable
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import build, config_of
from transfergrid.records.identity import config_digest
from transfergrid.records.training import Training
from transfergrid.sources.small_cnn import SmallCNN
from transfergrid.sources.trained_here import TrainedHere
from transfergrid.testing.tiny import TinyDomain


def archive(folder):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 6, 6), dtype=np.uint8)
    labels = np.array(["ant", "bee", "cat"])[np.arange(60) % 3]
    described = np.arange(12.0).reshape(3, 4)
    np.savez(folder / "x.npz", x=images, y=labels, attributes=described)
    return Arrays(file=str(folder / "x.npz"), test_split=0.2)


def table(folder):
    rows = [f"text number {i} of its kind,{('ant', 'bee', 'cat')[i % 3]}" for i in range(60)]
    (folder / "t.csv").write_text("text,label\n" + "\n".join(rows))
    return TextTable(file=str(folder / "t.csv"), test_split=0.2)


def pictures(folder):
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("ant", "bee", "cat"):
        (folder / name).mkdir()
        for i in range(10):
            pixels = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return ImageFolder(root=str(folder), test_split=0.2)


@dataclass(frozen=True, kw_only=True)
class Own(Domain):
    """One of a user's own, which knows nothing of `only`."""

    each: int = 5

    @cached_property
    def classes(self):
        return ("ant", "bee", "cat")

    def load(self):
        rng = np.random.default_rng(1)
        parts = []
        for _ in range(2):
            images = rng.integers(0, 256, (3 * self.each, 4, 4, 1), dtype=np.uint8)
            parts.append(ArrayExamples(images, np.repeat(np.arange(3), self.each)))
        return LoadedDomain(*parts, self.classes)


def own(folder):
    return Own()


KINDS = [archive, table, pictures, own]


def rows(examples):
    """Return what examples hold, one hashable value each."""
    found = examples.read(np.arange(len(examples)))
    return [one if isinstance(one, str) else np.asarray(one).tobytes() for one in found]


@pytest.mark.parametrize("kind", KINDS)
def test_pool_and_test_hold_the_kept_classes_and_nothing_else(tmp_path, kind):
    whole = kind(tmp_path)
    some = replace(whole, only=["cat", "ant"])
    some.check()
    some.check_kept()
    assert some.classes == ("ant", "cat"), "in the domain's order, not in that of `only`"
    before, after = whole.load(), some.load()
    assert after.classes == some.classes
    for old, new in ((before.pool, after.pool), (before.test, after.test)):
        wanted = np.flatnonzero(old.labels != 1)
        assert rows(new) == [rows(old)[i] for i in wanted]
        assert new.labels.tolist() == [{0: 0, 2: 1}[k] for k in old.labels[wanted]]
    assert some.outline() == outlined(after.classes, after.pool.labels, after.test.labels)


def test_descriptions_of_classes_are_kept_with_them(tmp_path):
    some = replace(archive(tmp_path), only=["bee", "cat"])
    assert some.load().attributes.tolist() == np.arange(12.0).reshape(3, 4)[1:].tolist()


def test_groups_and_clusters_stay_with_their_examples(tmp_path):
    lines = [f"text {i} here,{'abc'[i % 3]},p{i // 3}" for i in range(60)]
    (tmp_path / "t.csv").write_text("text,label,patient\n" + "\n".join(lines))
    whole = TextTable(file=str(tmp_path / "t.csv"), test_split=0.3, cluster_column="patient")
    before, after = whole.load().pool, replace(whole, only=["a", "b"]).load().pool
    wanted = before.labels < 2
    assert after.clusters.tolist() == before.clusters[wanted].tolist()
    assert after.characters.tolist() == before.characters[wanted].tolist()


def test_a_drawn_domain_and_numbers_as_typed():
    some = Digits(only=[7, 3])
    assert some.classes == ("3", "7")
    assert some.outline().classes == ("3", "7")
    assert set(some.load().pool.labels) == {0, 1}
    letters = Glyphs(characters="abc", per_class=4, test_per_class=2, only=["a", "c"])
    assert letters.load().pool.labels.tolist() == [0] * 4 + [1] * 4
    assert letters.check() is None


def test_a_class_that_calls_its_base_is_cut_once():
    class More(TinyDomain):
        def load(self):
            found = super().load()
            return replace(found, notes={"seen": list(found.classes)})

    names = TinyDomain().classes
    found = More(only=list(names[1:])).load()
    assert found.classes == names[1:]
    assert found.notes == {"seen": list(names)}, "the subclass saw the whole"
    assert set(found.pool.labels) == {0, 1}


@pytest.mark.parametrize(
    ("only", "told"),
    [
        (["3", "nin"], "unknown class in only 'nin'; there is 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        (["10", "3"], "unknown class in only '10'; did you mean 1?"),
        (["3"], "Digits.only must be a list of two classes or more, or null, not ['3']"),
        (["3", 3], "only=['3', 3] is one class: keep two or more"),
    ],
)
def test_what_cannot_be_kept_is_told_in_one_line(only, told):
    with pytest.raises(BadInputError) as caught:
        Digits(only=only).check_kept()
    assert str(caught.value) == told


def test_a_wrong_name_says_which_was_meant(tmp_path):
    with pytest.raises(BadInputError, match=r"class in only 'cats'; did you mean cat\?"):
        replace(archive(tmp_path), only=["cats", "ant"]).check_kept()


def test_numbers_have_no_classes_to_keep():
    with pytest.raises(BadInputError, match="these labels are numbers"):
        GlyphAngles(metric="mae", only=["1", "2"]).check_kept()


def test_a_sources_domain_is_asked_for_its_classes_too():
    source = TrainedHere(
        architecture=SmallCNN(), domain=Digits(only=["1", "x"]), training=Training()
    )
    with pytest.raises(BadInputError, match="unknown class in only 'x'"):
        source.check()


# Identity ----------------------------------------------------------------------------------------


def test_all_classes_are_what_a_domain_was_before_there_was_a_choice():
    config = config_of(Digits())
    before = {key: value for key, value in config.items() if key not in OPTIONAL}
    before["about"] = {k: v for k, v in config["about"].items() if k != "optional"}
    assert config_digest(config) == config_digest(before)


def test_kept_classes_move_identity_in_whatever_order_they_are_typed():
    def digest(*names):
        return config_digest(config_of(Digits(only=names)))

    assert digest("1", "2") != digest("1", "3")
    assert digest("1", "2") != config_digest(config_of(Digits()))
    assert digest("1", "2") == digest("2", "1") == digest(2, 1)


def test_it_is_built_again_from_its_config():
    assert build(config_of(Digits(only=["1", "2"]))).classes == ("1", "2")


def test_cells_draw_from_what_is_kept():
    opened = OpenDomain(config_of(Digits(only=["1", "2", "9"])))
    drawn = opened.draw(5, seed=0)
    labels = opened.loaded.pool.labels[drawn.train]
    assert np.bincount(labels).tolist() == [5, 5, 5]
    assert len(drawn.unlabelled) == len(opened.loaded.pool) < 400


# As typed ----------------------------------------------------------------------------------------


def test_every_shipped_target_takes_it_and_is_named_by_it():
    made = composer().option("target", "digits", ("target.only=[3,7]",))
    assert made.name == "digits(only=[3,7])"
    assert build(made.config).classes == ("3", "7")


def test_a_sources_domain_takes_it():
    made = composer().option("source", "glyph_digits", ("source.domain.only=[3,7]",))
    assert build(made.config).domain.classes == ("3", "7")
