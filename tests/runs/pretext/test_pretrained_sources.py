"""Sources that learned from inputs alone: no label, no test image, one training for all cells."""

import dataclasses
import json

import pytest
import torch

from transfergrid.data.glyphs import Glyphs
from transfergrid.data.opened import OpenDomain
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.records.factory import config_of
from transfergrid.records.tracking.tracker import NoTracker
from transfergrid.records.training import Training
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.machine import Machine
from transfergrid.runs.pretext import tasks
from transfergrid.runs.pretext.base import Pretext
from transfergrid.runs.pretraining import SourceMaker
from transfergrid.runs.source_contents import content_of
from transfergrid.sources.pretrained_here import METHODS, PretrainedHere
from transfergrid.sources.small_cnn import SmallCNN
from transfergrid.testing.bench import quiet_thread, sealed
from transfergrid.testing.tiny import TinyDomain, TinySource
from transfergrid.testing.tiny_text import TinyTextDomain, TinyTextSource

IMAGES = [name for name, method in METHODS.items() if "image" in method.inputs]
SHORT = Training(steps=12, batch_size=8, lr=0.01)
TINY = TinySource().architecture


def source(method, **told):
    given = {"architecture": TINY, "domain": TinyDomain(), "training": SHORT, **told}
    return PretrainedHere(method=method, **given)


@pytest.fixture
def maker(tmp_path):
    return SourceMaker(tmp_path / "sources", Machine("cpu"), NoTracker(), Stopwatch())


@pytest.mark.parametrize("method", IMAGES)
def test_it_learns_without_a_label_or_a_test_image_and_is_kept(method, maker):
    made = source(method)
    domain = OpenDomain(config_of(made.domain))
    pool, test = domain.loaded.pool, domain.loaded.test
    with quiet_thread(), sealed(pool, "labels"), sealed(test, "images", "labels"):
        state = maker.trained(made, 0)
        start = maker.begun(made, 0).state_dict()
    assert any(not torch.equal(state[name], value) for name, value in start.items())
    place = maker.folder / content_of(made, 0)
    assert {file.name for file in place.iterdir()} == {"weights.safetensors", "card.json"}
    card = json.loads((place / "card.json").read_text())
    assert (card["train_labels"], card["train_examples"]) == (0, len(pool))
    assert card["method"] == method
    assert "own_test" not in card
    assert all(isinstance(value, float) for value in card["pretext"].values())


def test_texts_are_read_by_hidden_tokens(maker):
    architecture = TinyTextSource().architecture
    made = source("mlm", architecture=architecture, domain=TinyTextDomain())
    with quiet_thread():
        state = maker.trained(made, 0)
        start = maker.begun(made, 0).state_dict()
    assert any(not torch.equal(state[name], value) for name, value in start.items())


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_task_is_learned(method, maker):
    """The loss of sixty steps ends well below that of one, which no step has moved yet."""
    texts = {"architecture": TinyTextSource().architecture, "domain": TinyTextDomain()}
    losses = []
    for steps in (1, 60):
        training = dataclasses.replace(SHORT, steps=steps)
        with quiet_thread():
            maker.trained(source(method, training=training, **texts if method == "mlm" else {}), 0)
        losses.append(maker.card["pretext"]["loss"])
    assert losses[1] < 0.85 * losses[0]


def test_what_byol_tells_of_collapse_stands_in_its_card(maker):
    with quiet_thread():
        maker.trained(source("byol"), 0)
    assert 0 <= maker.card["pretext"]["spread"] <= 1


def test_methods_their_keys_and_their_versions_are_other_sources(monkeypatch):
    told = [source("simclr"), source("byol"), source("simclr", temperature=0.1), source("rotation")]
    assert len({content_of(one, 0) for one in told}) == len(told)
    before = content_of(told[0], 0)
    monkeypatch.setattr(tasks.TASKS["simclr"], "version", 2)
    assert content_of(told[0], 0) != before


@pytest.mark.parametrize("method", sorted(METHODS))
def test_what_is_said_of_a_method_reaches_it(method):
    values = {"width": 7, "temperature": 0.3, "momentum": 0.9, "masked": 0.4}
    given = {key: values[key] for key in METHODS[method].keys}
    made = tasks.pretext_of(source(method, **given))
    assert isinstance(made, Pretext)
    assert {key: getattr(made, key) for key in given} == given


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({"method": "mlm"}, "mlm learns from texts, and source.domain holds images"),
        ({"method": "rotation", "temperature": 0.1}, "source.temperature means nothing to"),
        ({"method": "mae", "masked": 0.99}, "takes out all of the 16 patches"),
        ({"method": "rotation", "domain": None}, "needs inputs to learn from"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(told, line):
    with pytest.raises(BadInputError, match=line) as refused:
        source(**told).check()
    assert "\n" not in str(refused.value)


def test_images_are_asked_of_a_method_of_texts():
    architecture = TinyTextSource().architecture
    made = source("rotation", architecture=architecture, domain=TinyTextDomain())
    with pytest.raises(BadInputError, match=r"give source\.method=mlm"):
        made.check()


def test_it_has_no_classifier_to_lend(maker):
    made = source("rotation")
    with pytest.raises(ImpossibleError, match="learned by rotation, without labels"):
        made.head(TINY.build(), maker, 0)


def test_masks_and_networks_that_do_not_go_together_are_refused(maker):
    odd = SmallCNN(size=18, channels=1)
    glyphs = Glyphs(characters="01", per_class=4, test_per_class=1)
    with pytest.raises(BadInputError, match="4 by 4 patches"):
        maker.trained(source("mae", architecture=odd, domain=glyphs), 0)
