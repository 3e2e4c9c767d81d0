"""What a cell notes about itself: that noting changes nothing, and that it is what it says."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from transfergrid import api
from transfergrid.records.factory import config_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.training import Training
from transfergrid.runs import cell
from transfergrid.runs.diagnostics import brief, watching
from transfergrid.runs.diagnostics.brief import BriefWatch
from transfergrid.runs.diagnostics.noting import relative_change
from transfergrid.runs.diagnostics.reading import Moments, Outputs, spread
from transfergrid.runs.diagnostics.watching import Watch, untouched_randomness
from transfergrid.runs.machine import Machine
from transfergrid.sources.placebo import Placebo
from transfergrid.strategies.adaptation.domain_adversarial import DomainAdversarial
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench, opened, sealed
from transfergrid.testing.tiny import TinyBackbone, TinyDomain, TinySource

CPU = Machine(accelerator="cpu")
SHORT = Training(steps=8, batch_size=8, validations=2, lr=0.01)


def ran(folder, strategy, labels=10, training=SHORT, source=None, target=None, diagnostics="full"):
    chosen = source or TinySource()
    target = target or TinyDomain()
    told = {"labels": labels, "training": training, "results": folder}
    machine = replace(CPU, diagnostics=diagnostics)
    return api.run(chosen, strategy, target, machine=machine, **told)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Diagnostics of a cell of each kind."""
    folder = tmp_path_factory.mktemp("watched")
    kinds = (FullFinetuning, FeatureExtraction, DomainAdversarial)
    records = {kind.__name__: ran(folder, kind()) for kind in kinds}
    return {name: record.diagnostics for name, record in records.items()}


@pytest.mark.parametrize("strategy", [FullFinetuning, DomainAdversarial])
def test_looking_changes_no_prediction_and_no_identity(tmp_path, monkeypatch, strategy):
    watched = ran(tmp_path / "watched", strategy())
    monkeypatch.setattr(Watch, "begin", lambda self: None)
    monkeypatch.setattr(Watch, "end", lambda self, fitted, outcome: None)
    plain = ran(tmp_path / "plain", strategy())
    assert plain.diagnostics is None
    assert watched.diagnostics is not None
    assert watched.id == plain.id
    assert watched.scores == plain.scores
    said = [
        Ledger(tmp_path / name).predictions(plain.id).probabilities for name in ("watched", "plain")
    ]
    assert np.array_equal(*said)


def test_global_random_states_stay_as_they_are():
    def drawn():
        return torch.rand(1).item(), np.random.rand(), random.random()

    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    expected = drawn()
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])
    with untouched_randomness():
        drawn()
    assert drawn() == expected


def test_what_cannot_be_had_is_told_and_fails_no_cell(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("of a user's own\nand more")

    monkeypatch.setattr(watching, "look", broken)
    record = ran(tmp_path, FullFinetuning())
    assert record.score is not None
    assert record.diagnostics.features is None
    assert record.diagnostics.skipped["before"] == "RuntimeError: of a user's own"


def test_neither_the_test_split_nor_further_labels_are_read():
    bench = Bench(FullFinetuning)
    setup = bench.set_up(10)
    watch = Watch(setup, config_of(bench.source), bench.machine, setup.data.train)
    pool, test = opened(bench.domain())
    with sealed(pool, "labels"), sealed(test, "images", "labels"):
        watch.begin()
        fitted = cell.learn(setup, bench.machine, lambda values, step: None)
    outcome = cell.judge(setup, bench.machine)
    with sealed(pool, "labels"), sealed(test, "images", "labels"):
        found = watch.end(fitted, outcome)
    assert not found.skipped
    assert None not in (found.features, found.head, found.drift, found.priors)


# What is noted ----------------------------------------------------------------------------------


def test_a_frozen_backbone_is_as_it_was(found):
    noted = found["FeatureExtraction"]
    assert noted.drift.weights == (0.0, 0.0, 0.0)
    assert noted.drift.cka == (1.0, 1.0, 1.0)
    assert noted.features.after == noted.features.before
    assert noted.batch_norm.after == noted.batch_norm.before
    assert noted.forgetting is None
    assert noted.optimisation.head_change > 0


def test_a_backbone_that_learned_has_moved_and_may_have_forgotten(found):
    noted = found["FullFinetuning"]
    assert noted.drift.blocks == ("stem", "body", "neck")
    assert all(change > 0 for change in noted.drift.weights)
    assert all(0 <= cka < 1 for cka in noted.drift.cka)
    assert noted.batch_norm.after != noted.batch_norm.before
    assert noted.forgetting.before.n == 60
    assert noted.features.random is not None


def test_a_source_domain_of_the_same_classes_is_compared_class_by_class(found):
    domains, plain = found["DomainAdversarial"].domains, found["FullFinetuning"].domains
    assert 0 <= domains.match_before <= 1
    assert 0 <= domains.match_after <= 1
    assert plain.match_after is None
    assert found["DomainAdversarial"].priors.source == pytest.approx([1 / 3] * 3, abs=1e-3)


def test_without_labels_there_is_no_probe_of_them(tmp_path):
    noted = ran(tmp_path, DomainAdversarial(), labels=0).diagnostics
    assert noted.features is noted.head is noted.priors.given is None
    assert noted.skipped["features"] == "no target labels"
    assert noted.domains is not None


def test_a_placebo_has_no_domain_to_forget(tmp_path):
    noted = ran(tmp_path, FullFinetuning(), source=Placebo(TinySource())).diagnostics
    assert noted.domains is noted.forgetting is noted.batch_norm.source is None


def test_batch_norm_is_measured_in_its_own_units():
    layer = nn.BatchNorm1d(3).eval()
    moments = Moments(nn.Sequential(layer))
    with moments.watched():
        for _ in range(2):
            layer(2 + 3 * torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)))
    summary = moments.summary()
    assert summary.layers == 1
    assert summary.mean_shift == pytest.approx(2, abs=0.1)
    assert summary.log_variance == pytest.approx(2 * np.log(3), abs=0.05)


def test_outputs_of_blocks_are_caught_where_they_end():
    backbone = TinyBackbone(4).eval()
    caught = Outputs(backbone)
    names = {id(module): name for name, module in backbone.named_modules()}
    assert [names[id(m)] for m in caught.modules] == [
        "network.bn1",
        "network.bn2",
        "network.dense",
    ]
    with caught.watched():
        backbone.embed(backbone.example(5))
    assert [part.shape for part in caught.pooled()] == [(5, 4), (5, 4), (5, 8)]
    backbone.embed(backbone.example(2))
    assert len(caught.pooled()[0]) == 5, "listens no longer"


def test_relative_change_is_that_of_all_values_together():
    old, new = torch.tensor([3.0, 0.0]), torch.tensor([3.0, 1.0])
    assert relative_change([(old, new), (torch.tensor([4.0]), torch.tensor([4.0]))]) == 0.2
    assert relative_change([]) == 0.0


def test_a_few_of_many_are_of_all_classes_even_where_these_take_turns():
    rows = spread(4000, 40)
    assert len(set(rows)) == 40
    assert set(rows % 10) == set(range(10)), "every hundredth would be of one class"


def test_what_is_not_asked_for_is_null_and_says_so(tmp_path):
    none = ran(tmp_path / "none", FullFinetuning(), diagnostics="none").diagnostics
    assert none.skipped == {"before": "trainer.diagnostics=none"}
    assert none.extent == "none"
    short = ran(tmp_path / "short", FullFinetuning(), diagnostics="short").diagnostics
    assert short.extent == "short"
    for part in ("batch_norm", "domains", "forgetting"):  # 64 examples, each a few times
        assert "fewer than 512 examples: trainer.diagnostics=full" in short.skipped[part]
    assert short.features.random is None
    assert short.features.renormalised is None
    assert short.priors.predicted is None
    assert set(short.drift.cka) == {None}
    assert len(short.drift.cka) == len(short.drift.blocks)


LONGER = replace(SHORT, steps=64)


def test_short_ones_say_what_full_ones_say(tmp_path, monkeypatch):
    monkeypatch.setattr(brief, "WATCHED", watching.FEWEST)
    monkeypatch.setattr(BriefWatch, "fewest", watching.FEWEST)
    for strategy in (FullFinetuning(), FeatureExtraction(), DomainAdversarial()):
        told = {"strategy": strategy, "training": LONGER}
        full = ran(tmp_path / "full", **told, diagnostics="full").diagnostics
        short = ran(tmp_path / "short", **told, diagnostics="short").diagnostics
        assert short.features.before == full.features.before
        assert short.features.after == full.features.after
        assert short.head == full.head
        assert short.optimisation == full.optimisation
        assert short.drift.weights == full.drift.weights
        assert short.priors == replace(full.priors, predicted=None)
        assert short.forgetting == full.forgetting
        assert (short.domains is None) == (full.domains is None)
        assert short.batch_norm.n == 60, "the whole pool: full ones are of what has no label"
        assert short.batch_norm.after.layers == full.batch_norm.after.layers
        assert short.batch_norm.after.mean_shift == pytest.approx(
            full.batch_norm.after.mean_shift, rel=0.25
        )
        if full.batch_norm.source is not None:
            ours, theirs = short.batch_norm.source, full.batch_norm.source
            assert ours.mean_shift == pytest.approx(theirs.mean_shift, rel=1e-3, abs=1e-4)
            assert ours.log_variance == pytest.approx(theirs.log_variance, rel=1e-3, abs=1e-4)
            assert ours.worst_layer == theirs.worst_layer


def test_short_ones_pass_few_examples_through_a_network(tmp_path, monkeypatch):
    passed = []
    embed = TinyBackbone.embed

    def counting(backbone, inputs):
        passed.append(len(inputs))
        return embed(backbone, inputs)

    monkeypatch.setattr(TinyBackbone, "embed", counting)

    def passes(folder, strategy, extent):
        passed.clear()
        ran(tmp_path / folder, strategy, training=LONGER, diagnostics=extent)
        return sum(passed)

    more = passes("short", FullFinetuning(), "short") - passes("none", FullFinetuning(), "none")
    labelled, source, few = 24, 32, 16
    cell = labelled + source + 2 * few + source + few  # before, after
    baseline = labelled + few + few
    assert more <= cell + baseline


def test_batch_norm_by_examples_is_that_of_the_batch():
    backbone = TinyBackbone(4).eval()
    inputs = torch.randn(20, *backbone.example(1).shape[1:], generator=torch.manual_seed(0))
    at_once, each = Moments(backbone), Moments(backbone)
    with at_once.watched():
        backbone.embed(inputs)
    parts = [each.of_each(lambda p=part: backbone.embed(p)) for part in inputs.split(5)]
    each.take(torch.cat(parts))
    ours, theirs = each.summary(), at_once.summary()
    assert ours.layers == theirs.layers == 2
    assert ours.worst_layer == theirs.worst_layer
    assert ours.mean_shift == pytest.approx(theirs.mean_shift, rel=1e-3)
    assert ours.log_variance == pytest.approx(theirs.log_variance, rel=1e-3)


def test_what_was_said_of_the_labelled_ones_is_heard_not_passed_again(tmp_path):
    bench = Bench(FullFinetuning, training=LONGER)
    setup = bench.set_up(10)
    bench_fit = cell.learn(setup, bench.machine, lambda values, step: None)
    assert bench_fit.steps == LONGER.steps
    outcome = cell.judge(setup, bench.machine)
    heard = outcome.embeddings["train"]
    with torch.no_grad():
        own = setup.strategy.eval().backbone.embed(setup.data.train.inputs(setup.data.train.rows))
    torch.testing.assert_close(heard, own, rtol=1e-5, atol=1e-5)
    assert set(outcome.embeddings) == {"train", "validation"}
    assert "features" not in vars(setup.strategy)
