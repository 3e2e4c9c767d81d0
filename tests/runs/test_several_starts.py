"""Sources that are trained here from one start: each is there once, and says what it began with."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from transfergrid.data.noise import Noise
from transfergrid.data.several_domains import SeveralDomains
from transfergrid.records.errors import BadInputError
from transfergrid.records.tracking.tracker import NoTracker
from transfergrid.records.training import Training
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.machine import Machine
from transfergrid.runs.pretraining import SourceMaker
from transfergrid.sources.small_cnn import SmallCNN
from transfergrid.sources.trained_here import TrainedHere


def domain(seed):
    return Noise(n_classes=3, size=16, per_class=6, test_per_class=2, seed=seed)


PARTS = SeveralDomains(parts=[domain(0), domain(1)])
SOURCE = TrainedHere(
    SmallCNN(size=16, channels=1, widths=(2, 2, 3)), PARTS, Training(steps=2, batch_size=4)
)


@pytest.fixture
def maker(tmp_path):
    SourceMaker._memory.clear()
    return SourceMaker(tmp_path / "sources", Machine(accelerator="cpu"), NoTracker(), Stopwatch())


def kept(maker):
    return sorted(path.parent for path in maker.folder.glob("*/card.json"))


def test_each_source_is_the_one_that_is_trained_alone(maker):
    start, each = SOURCE.each(maker, 0)
    assert len(kept(maker)) == len(each) == 2
    for network, part in zip(each, PARTS.parts, strict=True):
        alone = replace(SOURCE, domain=part).load(maker, 0)
        assert alone.fingerprint() == network.fingerprint() != start.fingerprint()
    assert len(kept(maker)) == 2, "and it is trained once"
    SOURCE.load(maker, 0)
    assert len(kept(maker)) == 3, "pooled is a training of its own"


def test_the_start_does_not_depend_on_what_was_drawn_before(maker):
    torch.manual_seed(1)
    first, _ = SOURCE.each(maker, 0)
    torch.manual_seed(2)
    second, _ = SOURCE.each(maker, 0)
    assert first.fingerprint() == second.fingerprint()


@pytest.mark.parametrize(("told", "why"), [(None, "keep no hash"), ("0" * 16, "say another hash")])
def test_another_start_than_the_kept_one_is_refused(maker, told, why):
    SOURCE.each(maker, 0)
    file = kept(maker)[0] / "weights.safetensors"
    state = {name: value.clone() for name, value in load_file(file).items()}
    save_file(state, file, {"start": told} if told else None)
    with pytest.raises(BadInputError, match=f"{why}.*delete .*trained anew"):
        SOURCE.each(maker, 0)


def test_a_source_made_anew_in_each_block_has_a_start_for_each(maker):
    anew = replace(SOURCE, seed="block")
    starts = {anew.each(maker, block)[0].fingerprint() for block in (0, 1)}
    assert len(starts) == 2
    assert len(kept(maker)) == 4


def test_what_is_told_of_several_is_told_of_each(maker):
    SOURCE.each(maker, 0)
    told = maker.told["each"]
    assert [card["domain"]["seed"] for card in told] == [part.seed for part in PARTS.parts]
    alone = SourceMaker(maker.folder, maker.machine, NoTracker(), Stopwatch())
    assert alone.told == {}
    SOURCE.load(alone, 0)
    assert alone.told == alone.card != {}
