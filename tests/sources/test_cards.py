"""What is known of a source, and which datasets lie inside which."""

import pytest

from transfergrid.data.glyphs import Glyphs
from transfergrid.data.noise import Noise
from transfergrid.records.errors import BadInputError
from transfergrid.sources.cards import Card, dataset_name, holders, known_names, shared
from transfergrid.sources.checkpoint import Checkpoint
from transfergrid.sources.placebo import Placebo
from transfergrid.sources.timm import TimmArchitecture, TimmSource
from transfergrid.sources.trained_here import TrainedHere

IMAGENET = ["imagenet", "ImageNet-1k", "in1k", "ilsvrc2012", "ILSVRC-2012", "ILSVRC/imagenet-1k"]
SMALL = TimmArchitecture("test_resnet", 16, {"in_chans": 1})


@pytest.mark.parametrize("name", IMAGENET)
def test_one_dataset_has_one_name(name):
    assert dataset_name(name) == "ImageNet-1k"


def test_near_names_stay_apart():
    names = ("ImageNet-1k", "ImageNet-21k", "ImageNet-100", "tiny-imagenet", "CIFAR10", "CIFAR100")
    assert len({dataset_name(name) for name in names}) == len(names)
    assert dataset_name(" our scans ") == "our scans"


@pytest.mark.parametrize(
    ("tag", "names"),
    [
        ("a1_in1k", ("ImageNet-1k",)),
        ("augreg_in21k_ft_in1k", ("ImageNet-21k", "ImageNet-1k")),
        ("laion2b_ft_augreg_inat21", ("LAION-2B", "iNaturalist 2021")),
        ("untrained", ()),
    ],
)
def test_tags_name_datasets(tag, names):
    assert known_names(tag) == names


def test_a_part_of_a_part_lies_in_the_whole():
    assert {"Imagenette", "ImageNet-1k", "ImageNet-21k"} <= holders(["frgfm/imagenette"])
    assert "ImageNet-1k" not in holders(["ImageNet-21k"])
    assert holders([]) == set()


def test_a_target_is_held_by_what_was_typed_or_what_is_known():
    target = Noise(n_classes=2, part_of=["imagenet"])
    assert shared(["ImageNet-1k", "iNaturalist 2021"], target) == ("ImageNet-1k",)
    assert shared(["ImageNet-22k"], target) == ("ImageNet-22k",)
    assert shared(["ImageNet-1k"], Noise(n_classes=2)) == ()
    assert shared(["Our Scans"], Noise(n_classes=2, part_of="Our Scans")) == ("Our Scans",)


class TestTyped:
    def test_it_wins_key_by_key(self):
        typed = Card.read({"license": "MIT", "trained_on": "imagenet"})
        whole = typed.over(Card("hub/x", "Apache-2.0", ("JFT-300M",)))
        assert whole == Card("hub/x", "MIT", ("ImageNet-1k",))
        assert whole.plain() == {"origin": "hub/x", "licence": "MIT", "trained_on": ["ImageNet-1k"]}

    def test_nothing_typed_says_nothing(self):
        assert Card.read({}).plain() == Card.read(None).plain() == {}
        assert Card.read({"origin": None, "trained_on": []}).plain() == {}

    @pytest.mark.parametrize(
        ("card", "told"),
        [
            ({"traned_on": ["x"]}, "did you mean trained_on"),
            ({"trained_on": [1]}, "trained_on must be text"),
            ({"licence": 2}, "licence must be text"),
        ],
    )
    def test_what_makes_no_sense_is_refused_by_the_check(self, card, told):
        with pytest.raises(BadInputError, match=told):
            TimmSource(SMALL, card=card).check()


class TestKnown:
    def test_timm_tells_of_the_weights_that_it_knows(self):
        card = TimmSource(TimmArchitecture("vit_base_patch16_224")).known_card()
        assert card["trained_on"] == ["ImageNet-21k", "ImageNet-1k"]
        assert card["licence"] == "apache-2.0"
        assert card["origin"].startswith("timm/vit_base_patch16_224.")

    def test_timm_tells_nothing_of_a_file_but_by_the_tag(self):
        assert TimmSource(TimmArchitecture("resnet18"), "mine.pth").known_card() == {}
        tagged = TimmSource(TimmArchitecture("resnet18.a1_in1k"), "mine.pth")
        assert tagged.known_card()["trained_on"] == ["ImageNet-1k"]

    def test_a_checkpoint_is_what_was_typed(self):
        card = {"origin": "our lab", "trained_on": ["in1k"]}
        known = Checkpoint(SMALL, "mine.pth", card=card).known_card()
        assert known == {"origin": "our lab", "trained_on": ["ImageNet-1k"]}

    def test_what_is_trained_here_has_seen_its_start_and_its_domain(self):
        start = Checkpoint(SMALL, "mine.pth", card={"trained_on": ["in1k"], "licence": "MIT"})
        source = TrainedHere(SMALL, Glyphs(), Noise(n_classes=2), start=start)
        known = source.known_card()
        assert known["trained_on"] == ["ImageNet-1k", "Glyphs"]
        assert Placebo(source).known_card() == known
