"""Each cause is planted, in a tiny cell or else in records, and expected to be named first."""

from dataclasses import replace

import numpy as np
import pytest

from ledger_factory import made, predicted
from planted import FaintDomain, SkewedDomain
from transfergrid import api
from transfergrid.evidence.autopsy.case import Case, above_chance, binomial_se, ramp
from transfergrid.evidence.autopsy.causes_of_data import confused
from transfergrid.evidence.autopsy.ranking import (
    CAUSES,
    EXPLAINS,
    Autopsy,
    arm_of,
    autopsy,
    block_of,
    case_of,
    is_placebo_of,
    shared_by,
)
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.findings import Diagnostics, Domains, Drift, Features, Probe
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Data, Scores
from transfergrid.records.shipped import conf_dir
from transfergrid.records.training import Training
from transfergrid.runs.machine import Machine
from transfergrid.sources.placebo import Placebo
from transfergrid.sources.trained_here import TrainedHere
from transfergrid.strategies.adaptation.domain_adversarial import DomainAdversarial
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.tiny import TinyArchitecture, TinyDomain

CPU = Machine(accelerator="cpu")
SHORT = Training(steps=40, batch_size=16, validations=2, lr=0.01)
LONG = replace(SHORT, steps=80)


def taught(domain):
    return TrainedHere(TinyArchitecture(), domain, LONG)


GOOD = taught(TinyDomain(shift=0.2))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One ledger for all, so that sources and baselines are made once."""
    return tmp_path_factory.mktemp("planted") / "results"


def judged(results, source, strategy, target=None, labels=10, seed=0) -> Autopsy:
    target = target or TinyDomain()
    record = api.run(
        source,
        strategy,
        target,
        labels=labels,
        seed=seed,
        training=SHORT,
        results=results,
        machine=CPU,
    )
    ledger = Ledger(results)
    return autopsy(case_of(record, ledger.records(), ledger.predictions))


def names(found: Autopsy):
    return [cause.name for cause in found.named]


# Planted in cells -------------------------------------------------------------------------------


def test_a_rate_of_nothing_is_optimisation(results):
    found = judged(results, GOOD, FullFinetuning(lr_factor=1e-6))
    assert names(found)[0] == "optimisation"
    assert "no block's weights moved by more than 0.1 %" in found.named[0].evidence
    assert "baseline" in found.named[0].evidence


def test_permuted_weights_that_stay_are_the_features(results):
    found = judged(results, Placebo(GOOD), FeatureExtraction())
    assert names(found)[0] == "frozen features"
    assert found.named[0].remedy.strategy == "full_finetuning"


def test_inputs_five_times_as_strong_are_batch_norm(results):
    found = judged(results, taught(FaintDomain()), FeatureExtraction())
    assert names(found)[0] == "BatchNorm statistics"


def test_a_huge_rate_destroys_the_representation(results):
    found = judged(results, GOOD, FullFinetuning(lr_factor=300.0))
    assert names(found)[0] == "destroyed representation"
    assert "source task" in found.named[0].evidence


def test_a_head_that_hardly_learns_is_the_head(results):
    found = judged(results, GOOD, FeatureExtraction(lr_factor=1e-4))
    assert names(found)[0] == "head"
    assert "optimisation" not in names(found)


def test_labels_of_one_class_for_a_test_of_all_are_label_shift(results):
    skewed = SkewedDomain(sampling="natural")
    found = judged(results, GOOD, FullFinetuning(), skewed)
    assert names(found)[0] == "label shift"
    assert "target.sampling=balanced" in found.named[0].remedy.why


def test_a_source_domain_with_other_pictures_is_the_distance(results):
    found = judged(results, taught(TinyDomain(shift=1.0)), DomainAdversarial(), labels=0)
    assert names(found)[0] == "domain distance"
    assert found.named[0].remedy.strategy == "source_only"


def test_of_a_good_cell_nothing_stands_out(results):
    found = judged(results, GOOD, FullFinetuning(), labels=2)
    assert found.gain.mean >= 0
    assert names(found) == []
    assert found.has_diagnostics


# Planted in records -----------------------------------------------------------------------------


def scores(train, test):
    return Scores(train={"accuracy": train}, test={"accuracy": test})


def pair(ours=(1.0, 0.6), theirs=(1.0, 0.9), **changes):
    """Return a cell and its baseline by their (training, test) accuracies."""
    data = Data(classes=("a", "b", "c"), per_class={"a": 10, "b": 10, "c": 10}, test=300)
    baseline = made(scores=scores(*theirs), data=data)
    cell = made("full_finetuning", "src", baseline=baseline, scores=scores(*ours), data=data)
    return replace(cell, **changes), baseline


def test_a_wider_gap_than_the_baselines_is_overfitting():
    cell, baseline = pair()
    found = autopsy(Case(cell, baseline))
    assert names(found) == ["overfitting"]
    assert "40.0 points (baseline 10.0)" in found.named[0].evidence
    assert not found.has_diagnostics


def test_a_gap_as_wide_as_the_baselines_is_not():
    assert names(autopsy(Case(*pair(ours=(0.95, 0.85))))) == []


def said(wrong: int, of: int = 300) -> Predictions:
    """Return predictions that take the first `wrong` items of class a for class b."""
    labels = np.arange(of, dtype=np.int64) % 3
    guess = labels.copy()
    guess[np.flatnonzero(labels == 0)[:wrong]] = 1
    return Predictions(np.eye(3, dtype=np.float32)[guess], labels)


def test_classes_mixed_up_are_told_with_their_test_items():
    cell, baseline = pair(ours=(0.9, 0.8), theirs=(0.9, 29 / 30))
    told = {cell.id: said(60), baseline.id: said(10)}
    found = autopsy(Case(cell, baseline, read=told.__getitem__))
    (cause,) = [one for one in found.causes if one.name == "class confusions"]
    assert cause.strength == pytest.approx(0.5)
    assert "a taken for b: 60 test items (baseline 10)" in cause.evidence
    assert "100 % of the 50 items lost" in cause.evidence


def test_confusions_count_errors_alone():
    counts = confused(said(7))
    assert counts[0, 1] == counts.sum() == 7


def test_a_loss_that_the_placebo_shares_is_the_scale_of_the_weights():
    cell, baseline = pair(ours=(0.9, 0.8), theirs=(0.9, 0.9))
    same = replace(cell, id="f" * 16, scores=scores(0.9, 0.805))
    assert names(autopsy(Case(cell, baseline, same)))[0] == "initialisation scale only"
    other = replace(same, scores=scores(0.9, 0.9))
    assert "initialisation scale only" not in names(autopsy(Case(cell, baseline, other)))


def test_a_loss_within_the_noise_of_the_items_is_said_to_be_that():
    rng = np.random.default_rng(0)
    right = rng.random(200) < 0.8
    ours, theirs = right.copy(), right.copy()
    ours[:6], theirs[:6] = False, True
    ours[6:11], theirs[6:11] = True, False
    cell = made("full_finetuning", "src", score=float(ours.mean()))
    baseline = made(score=float(theirs.mean()))
    cell = replace(cell, baseline=made("x", baseline=baseline).baseline)
    told = {cell.id: predicted(ours), baseline.id: predicted(theirs)}
    found = autopsy(Case(cell, baseline, read=told.__getitem__))
    assert names(found) == ["noise"]
    assert "this single run's gain of -0.5 points is within noise" in found.named[0].evidence


def probed(value):
    return Probe(n=200, chance=1 / 3, knn=value, linear=value)


def test_frozen_features_are_a_ceiling():
    """A head can be no better than what there is to read, though nothing is wrong with either."""
    noted = Diagnostics(
        features=Features(random=probed(0.5), before=probed(0.85), after=probed(0.85)),
        drift=Drift(blocks=("all",), weights=(0.0,), cka=(1.0,), embedding_cka=1.0),
    )
    cell, baseline = pair(ours=(0.86, 0.85), theirs=(1.0, 0.95), diagnostics=noted)
    assert names(autopsy(Case(cell, baseline))) == ["frozen features"]
    learning = replace(noted, drift=replace(noted.drift, weights=(0.1,)))
    learned = replace(cell, diagnostics=learning)
    assert "frozen features" not in names(autopsy(Case(learned, baseline)))


def test_domains_that_came_together_by_the_wrong_classes():
    apart = Domains(n=100, before=1.9, after=0.2, match_before=0.8, match_after=0.4)
    cell, baseline = pair(ours=(0.9, 0.8), diagnostics=Diagnostics(domains=apart))
    found = autopsy(Case(cell, baseline))
    assert names(found)[0] == "domain distance"
    assert "wrong classes" in found.named[0].evidence
    right = replace(apart, match_after=0.95)
    well = replace(cell, diagnostics=Diagnostics(domains=right))
    assert "domain distance" not in names(autopsy(Case(well, baseline)))


def test_what_explains_a_loss_is_not_named_where_there_is_a_gain():
    cell, baseline = pair(ours=(1.0, 0.95), theirs=(0.95, 0.92))
    assert names(autopsy(Case(cell, baseline))) == []


# Around them ------------------------------------------------------------------------------------


def test_the_placebo_is_found_in_the_seed_block():
    source = {"_target_": "x.Source", "file": "w", "about": {"help": "one"}}
    cell = made("full_finetuning", "src", config={"source": source})
    other = made("full_finetuning", "placebo", config={"source": {"of": dict(source, about={})}})
    later = replace(other, id="e" * 16, seed=1)
    assert is_placebo_of(other, cell)
    assert not is_placebo_of(cell, other)
    assert case_of(cell, [cell, later, other]).placebo == other
    assert block_of(cell, [cell, later, other]) == [other]


def test_an_arm_is_its_seeds():
    cells = [made("full_finetuning", "src", seed=seed) for seed in (2, 0, 1)]
    other = made("full_finetuning", "src", labels=2)
    assert [cell.seed for cell in arm_of(cells[0], [*cells, other])] == [0, 1, 2]


def test_seeds_that_share_a_cause_are_counted():
    bad, good = autopsy(Case(*pair())), autopsy(Case(*pair(ours=(1.0, 0.95))))
    assert shared_by("overfitting", [bad, good, bad]) == 2


def test_a_record_without_anything_is_not_guessed_about():
    found = autopsy(Case(made(score=None)))
    assert found.causes == ()
    assert set(found.unjudged) == set(CAUSES)


def test_every_remedy_is_a_shipped_strategy_and_every_name_known():
    shipped = {path.stem for path in (conf_dir() / "strategy").glob("*.yaml")}
    fixed = {"scratch", "full_finetuning", "feature_extraction", "layerwise_lr", "source_only"}
    assert fixed <= shipped
    assert {*EXPLAINS, *(name for names in EXPLAINS.values() for name in names)} <= set(CAUSES)


def test_measures():
    assert [ramp(x, 0, 2) for x in (-1, 1, 3)] == [0, 0.5, 1]
    assert ramp(0.25, 1, 0) == 0.75
    assert above_chance(0.55, 0.1) == pytest.approx(0.5)
    assert binomial_se(1.0, 20) > 0, "twenty of twenty is not certain"
