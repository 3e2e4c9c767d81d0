"""One pass: the right examples, the right features, and nothing of what is sealed."""

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from transfergrid.data.opened import OpenDomain
from transfergrid.records.factory import config_of
from transfergrid.runs.machine import Machine
from transfergrid.runs.scores import features as passes_module
from transfergrid.runs.scores import posteriors
from transfergrid.runs.scores.features import FeaturePasses
from transfergrid.sources.placebo import Placebo
from transfergrid.sources.timm import TimmArchitecture, TimmSource
from transfergrid.testing.tiny import TinyDomain, TinySource

TARGET = config_of(TinyDomain())
SMALL = TimmArchitecture("test_resnet", size=16, options={"in_chans": 1})


@pytest.fixture
def passes(tmp_path):
    return FeaturePasses(tmp_path, Machine(accelerator="cpu"))


@pytest.fixture
def read(monkeypatch):
    """Rows of the target's pool that were read; its test split is sealed."""
    opened, rows = OpenDomain(TARGET), []
    pool, test = opened.examples("pool"), opened.examples("test")
    original = type(pool).read

    def watched(self, indices):
        if self is pool:
            rows.extend(indices.tolist())
        return original(self, indices)

    monkeypatch.setattr(type(pool), "read", watched)
    monkeypatch.setattr(test, "sealed", frozenset({"images", "labels"}))
    return rows


@pytest.mark.parametrize("labels", [2, 10, "all"])
@pytest.mark.parametrize("seed", [0, 3])
def test_the_examples_are_those_that_a_cell_of_the_seed_block_trains_on(passes, read, labels, seed):
    found, notes = passes.of(config_of(TinySource()), TARGET, labels, seed)
    domain = OpenDomain(TARGET)
    drawn = domain.draw(labels, seed)
    assert sorted(read) == drawn.train.tolist()  # no validation example, and each once
    view = domain.view("pool", TinySource().load(None, 0).preprocess, drawn.train)
    with torch.no_grad():
        theirs = TinySource().load(None, 0).eval().embed(view.inputs(view.rows))
    assert np.allclose(found.target, theirs.double().numpy(), atol=1e-5)
    assert np.array_equal(found.labels, view.labels)
    assert (notes["examples"], found.classes) == (len(drawn.train), 3)


def test_examples_seen_before_are_not_read_again(passes, read):
    passes.of(config_of(TinySource()), TARGET, 2, 0)
    passes.of(config_of(TinySource()), TARGET, 5, 0)  # label subsets are nested
    assert len(read) == len(set(read)) == 15


def test_without_labels_the_whole_pool_is_seen_and_no_label(passes, read):
    found, _ = passes.of(config_of(TinySource()), TARGET, 0, 0)
    assert found.labels is None
    assert sorted(read) == list(range(60))


def test_a_large_pool_is_cut_to_a_seeded_sample(passes, read, monkeypatch):
    monkeypatch.setattr(passes_module, "CAP", 12)
    found, notes = passes.of(config_of(TinySource()), TARGET, "all", 0)
    other, _ = passes.of(config_of(TinySource()), TARGET, "all", 1)
    assert (len(found.target), notes["examples"]) == (12, 12)
    assert notes["of"] > 12
    assert not np.array_equal(found.target, other.target)


def test_a_source_domain_brings_features_and_posteriors_over_its_classes(passes):
    found, notes = passes.of(config_of(TinySource()), TARGET, 5, 0)
    assert found.source.shape == (60, 12)
    assert found.posteriors.shape == (15, 3)
    assert np.allclose(found.posteriors.sum(axis=1), 1.0)
    assert notes["posteriors"] == posteriors.FITTED


def weight_file(folder, classes=7):
    torch.manual_seed(3)
    model = timm.create_model("test_resnet", num_classes=classes, in_chans=1).eval()
    file = folder / "weights.safetensors"
    save_file(model.state_dict(), file)
    return model, str(file)


def test_posteriors_are_those_of_the_classifier_in_the_weight_file(passes, tmp_path):
    model, file = weight_file(tmp_path)
    source = TimmSource(SMALL, file=file)
    found, notes = passes.of(config_of(source), TARGET, 2, 0)
    domain = OpenDomain(TARGET)
    view = domain.view("pool", source.initial().preprocess, domain.draw(2, 0).train)
    with torch.no_grad():
        theirs = model(view.inputs(view.rows)).softmax(dim=1)
    assert np.allclose(found.posteriors, theirs.numpy(), atol=1e-5)
    assert notes["posteriors"] == posteriors.IN_THE_FILE


def test_why_there_are_no_posteriors_is_told(passes, tmp_path):
    model, file = weight_file(tmp_path)
    save_file({k: v for k, v in model.state_dict().items() if not k.startswith("fc.")}, file)
    bare, _ = passes.of(config_of(TimmSource(SMALL, file=file)), TARGET, 2, 0)
    assert (bare.posteriors, bare.source) == (None, None)
    assert bare.absent["posteriors"] == posteriors.NOT_AT_HAND
    _, file = weight_file(tmp_path)
    placebo = Placebo(of=TimmSource(SMALL, file=file))
    nothing, _ = passes.of(config_of(placebo), TARGET, 2, 0)
    assert nothing.absent["posteriors"] == posteriors.PLACEBO
