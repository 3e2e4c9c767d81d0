"""What strategies found, in words."""

from dataclasses import replace

from ledger_factory import made
from transfergrid.records.record import Chosen, Path, Trial, Tuning
from transfergrid.report.wording.findings_words import MOST, findings, settled


def test_numbers_lists_and_names():
    told = {
        "alpha": 0.123456,
        "kept_by_block": [3, 0],
        "path": {"penalty": [0.1, 1.0], "error": [2]},
    }
    assert list(findings(told)) == [
        "alpha 0.123",
        "kept by block: 3, 0",
        "path: penalty 0.1, 1; error 2",
    ]


def test_of_many_some_are_shown():
    (line,) = findings({"path": list(range(MOST + 3))})
    assert line.endswith(f", {MOST - 1}, and 3 more")


def test_what_was_chosen_after_training_has_its_path():
    path = Path(
        name="alpha",
        values=(0.0, 0.5, 1.0),
        validation=(0.95, 0.975, 0.9),
        train_loss=(0.1, 0.01, 0.001),
        chosen=0.5,
    )
    chosen = Chosen(step=4, by="validation", paths=(path,))
    trials = tuple(Trial(values={"lr_factor": 1.0}, score=0.5) for _ in range(4))
    cell = replace(
        made("wise_ft"), chosen=chosen, tuning=Tuning(trials=trials, chosen=0, members=(0, 2))
    )
    assert list(settled(cell)) == [
        "alpha 0.5, put after training",
        "validation score along alpha 0: 95, 0.5: 97.5, 1: 90",
        "training loss along alpha 0: 0.1, 0.5: 0.01, 1: 0.001",
        "mean of the weights of trials 1, 3 of 4",
    ]


def test_one_value_without_a_score_is_told_alone():
    path = Path(name="k", values=(10.0,), validation=(), chosen=10.0)
    cell = replace(made("knn"), chosen=Chosen(step=0, by="closed_form", paths=(path,)))
    assert list(settled(cell)) == ["k 10, put after training"]
    assert list(settled(made("scratch"))) == []
