"""A lean result says what its record says, whichever way it was read."""

from dataclasses import fields, replace

import pytest

from ledger_factory import made, predicted
from transfergrid.evidence.measured.results import Result, result_of, results_of
from transfergrid.records.cell import Names, Parts, Reference
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Cost, Flags, Metric, Scores, Seconds, Status

FULL = replace(
    made(),
    names=Names(
        strategy="lora", target="digits", source="a b/ü", architecture="net", training="default"
    ),
    parts=Parts(strategy="51", target="7a", source="50", training="71"),
    labels="all",
    seed=7,
    metric=Metric(name="macro_f1", higher_is_better=True),
    scores=Scores(
        train={"macro_f1": 0.99, "accuracy": 0.98},
        validation={"macro_f1": 0.85},
        test={"macro_f1": 0.8, "accuracy": 0.9, "ece": 0.031},
    ),
    baseline=Reference(name="scratch", id="0" * 16),
    exploratory=(Reference(name="x", id="1" * 16), Reference(name="y", id="2" * 16)),
    flags=Flags(collapsed=True, underfit=True, contaminated_by=("imagenet", 'a "b"')),
    config={
        "source": {"_target_": "m.Placebo", "seed": 0},
        "strategy": {"_target_": "m.Lora"},
    },
    cost=Cost(seconds=Seconds(total=12.5, source=3.25)),
    study="study",
    code="c0de",
    finished="2026-11-21T12:00:00+00:00",
)
"""Every field of a result is another one than its default."""

AS_TOLD = Result(
    id=FULL.id,
    names=FULL.names,
    parts=FULL.parts,
    labels="all",
    seed=7,
    score=0.8,
    metric=FULL.metric,
    baseline=FULL.baseline,
    exploratory=FULL.exploratory,
    flags=FULL.flags,
    train_score=0.99,
    validation_score=0.85,
    ece=0.031,
    one_checkpoint=True,
    placebo=True,
    seconds=12.5,
    source_seconds=3.25,
    study="study",
    code="c0de",
    classes=2,
    strategy_class="m.Lora",
    finished="2026-11-21T12:00:00+00:00",
)

SPARE = made("majority", architecture=None, labels=0, score=None)


def test_a_result_says_what_its_record_says():
    found = result_of(FULL)
    for field in fields(Result):
        assert getattr(found, field.name) == getattr(AS_TOLD, field.name), field.name


@pytest.mark.parametrize("record", [FULL, SPARE, made(labels=20, scores=Scores())])
@pytest.mark.parametrize("indexed", [False, True])
def test_a_ledger_gives_the_same_with_and_without_an_index(tmp_path, record, indexed):
    ledger = Ledger(tmp_path)
    ledger.write(record)
    if indexed:
        ledger.compact()
    assert results_of(ledger)[0] == [result_of(record)]


def test_labels_come_back_as_numbers_and_what_is_missing_as_none():
    found = result_of(SPARE)
    assert found.labels == 0
    assert type(found.labels) is int
    nothing = ("score", "baseline", "train_score", "validation_score", "ece", "strategy_class")
    assert {getattr(found, name) for name in nothing} == {None}
    assert (found.exploratory, found.flags, found.names.source) == ((), Flags(), None)


def test_the_scores_are_those_of_the_metric_that_decides():
    accuracy = replace(FULL, metric=Metric(name="accuracy"))
    found = result_of(accuracy)
    assert (found.score, found.train_score, found.validation_score) == (0.9, 0.98, None)


def test_a_loss_stays_a_metric_of_which_less_is_better(tmp_path):
    loss = Metric(name="loss", higher_is_better=False)
    ledger = Ledger(tmp_path)
    ledger.write(replace(FULL, metric=loss, scores=Scores(test={"loss": 0.4})))
    ledger.compact()
    ((found,), _) = results_of(ledger)
    assert (found.metric, found.score) == (loss, 0.4)


def test_cells_of_one_arm_share_their_names_for_the_sake_of_memory():
    one, other = result_of(made(seed=0)), result_of(made(seed=1))
    assert one.names is other.names
    assert one.parts is other.parts


def test_of_which_items_were_right_is_known_without_opening_predictions(tmp_path):
    ledger = Ledger(tmp_path)
    kept, not_kept = made(seed=0), made(seed=1)
    ledger.write(kept, predicted([True, False, True]))
    ledger.write(not_kept)
    ledger.compact()
    (ledger.folder(kept.id) / "predictions.npz").write_bytes(b"unreadable")
    _, outcomes = results_of(ledger)
    assert outcomes.right(kept.id).unpacked().tolist() == [1, 0, 1]
    with pytest.raises(BadInputError, match="was not kept"):
        outcomes.right(not_kept.id)


def test_only_done_cells_are_results_of_a_ledger(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.write(made(seed=0))
    ledger.fail(replace(made(seed=1), status=Status.FAILED, reason="no"), "a log")
    assert [result.seed for result in results_of(ledger)[0]] == [0]
