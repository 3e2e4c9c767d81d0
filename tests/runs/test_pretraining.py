"""Sources trained here: apart from the target's seed blocks, honest placebos, found by content."""

import pytest
import torch

from transfergrid.data.glyphs import Glyphs
from transfergrid.data.noise import Noise
from transfergrid.data.task import Classification
from transfergrid.records import identity
from transfergrid.records.seeds import stream_seed
from transfergrid.records.tracking.tracker import NoTracker
from transfergrid.records.training import Training
from transfergrid.runs import pretraining, source_contents
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.curve import Fit
from transfergrid.runs.machine import Machine
from transfergrid.sources.timm import TimmArchitecture
from transfergrid.sources.trained_here import TrainedHere
from transfergrid.strategies.baselines.scratch import Scratch

NETWORK = TimmArchitecture("test_resnet", size=16, options={"in_chans": 1})
SHORT = Training(steps=2, validations=1)
GLYPHS = Glyphs(characters="0123", per_class=10, test_per_class=2)


@pytest.fixture
def maker(tmp_path):
    return pretraining.SourceMaker(tmp_path, Machine("cpu"), NoTracker(), Stopwatch())


@pytest.fixture
def fits(monkeypatch):
    """The arguments of every training, none of which takes place."""
    seen = []

    class Pretended:
        def __init__(self, strategy, data, *_):
            seen.append((strategy, data, strategy.block_seed))
            self.strategy = strategy

        def run(self):
            self.strategy.eval()
            return Fit()

    monkeypatch.setattr(pretraining, "Driver", Pretended)
    return seen


@pytest.mark.parametrize("seed", [0, 1])
def test_a_source_shares_neither_start_nor_head_with_the_seed_block_of_its_number(
    maker, fits, seed
):
    state = maker.trained(TrainedHere(NETWORK, GLYPHS, SHORT), seed)
    torch.manual_seed(stream_seed(seed, "backbone"))
    block = NETWORK.build()
    arm = Scratch()
    arm.attach(block, Classification(GLYPHS.classes), SHORT, seed)
    weights = [n for n, v in block.state_dict().items() if v.is_floating_point() and v.ndim > 1]
    assert all(not torch.equal(state[n], block.state_dict()[n]) for n in weights)
    ((strategy, _, used),) = fits
    assert not torch.equal(strategy.head.weight, arm.head.weight)
    assert used != seed


def test_the_head_that_is_kept_is_the_one_that_was_trained(maker, fits):
    source = TrainedHere(NETWORK, GLYPHS, SHORT)
    maker.trained(source, 0)
    ((strategy, _, _),) = fits
    kept = maker.trained_head(source, 0)
    assert kept.keys() == {"weight", "bias"}
    assert all(torch.equal(kept[name], value) for name, value in strategy.head.state_dict().items())
    assert len(fits) == 1


def test_what_teaches_nothing_is_not_chosen_by_its_validation(maker, fits):
    noise = Noise(n_classes=4, per_class=10, test_per_class=2)
    maker.trained(TrainedHere(NETWORK, GLYPHS, SHORT), 0)
    maker.trained(TrainedHere(NETWORK, GLYPHS, SHORT, shuffle_labels=True), 0)
    maker.trained(TrainedHere(NETWORK, noise, SHORT), 0)
    learned, shuffled, noisy = (data.validation for _, data, _ in fits)
    assert learned is not None
    assert shuffled is None
    assert noisy is None


def test_shuffled_labels_are_the_same_ones_in_another_order(maker, fits):
    maker.trained(TrainedHere(NETWORK, GLYPHS, SHORT), 0)
    maker.trained(TrainedHere(NETWORK, GLYPHS, SHORT, shuffle_labels=True), 0)
    (_, true, _), (_, shuffled, _) = fits
    assert sorted(true.train.labels) == sorted(shuffled.train.labels)
    assert (true.train.labels != shuffled.train.labels).any()


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_noise_is_a_share_of_the_labels_of_training_and_validation_alike(maker, fits, share):
    maker.trained(TrainedHere(NETWORK, GLYPHS, SHORT), 0)
    maker.trained(TrainedHere(NETWORK, GLYPHS, SHORT, label_noise=share), 0)
    (_, true, _), (_, poisoned, _) = fits
    wrong = (true.train.labels != poisoned.train.labels).mean()
    classes = len(set(true.train.labels))
    assert wrong == pytest.approx(share * (1 - 1 / classes), abs=0.15)
    assert wrong > 0
    assert (poisoned.validation is None) == (share == 1.0)  # whose score would be luck


def test_a_source_is_trained_once_and_again_under_another_protocol(maker, fits, monkeypatch):
    source = TrainedHere(NETWORK, GLYPHS, SHORT)
    for _ in range(2):
        maker.trained(source, 0)
    assert len(fits) == 1
    monkeypatch.setattr(source_contents, "PROTOCOL", identity.PROTOCOL + 1)
    maker.trained(source, 0)
    assert len(fits) == 2
