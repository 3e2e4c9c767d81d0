"""What is planted in a grid's predictions is read out of it again."""

import dataclasses

import numpy as np
import pytest

from ledger_factory import made, predicted
from number_cells import family
from transfergrid.evidence.calibration.noise import observed
from transfergrid.evidence.calibration.planted import Noise, Scenario, draw, run
from transfergrid.evidence.measured.results import result_of, results_from
from transfergrid.records.errors import BadInputError
from transfergrid.records.record import Flags

NOISE = Noise(items=3_000, sd=2.0, accuracy=80.0, disagreement=20.0, same_arm=12.0)


def grid(noise=NOISE, arms=12, blocks=6, gain=0.0):
    """Return records and predictions of a family that shares its baseline."""
    (drawn,) = draw(noise, arms, blocks, 1, seed=5)
    right = run(noise, Scenario.NORMAL, gain, drawn)[0]
    records, said = [], {}
    for block in range(blocks):
        base = made(seed=block, score=float(right[0, block].mean()))
        cells = [
            made("full_finetuning", f"source{k}", seed=block, baseline=base)
            for k in range(1, arms + 1)
        ]
        for k, cell in enumerate([base, *cells]):
            score = float(right[k, block].mean())
            scored = dataclasses.replace(cell, scores=made(score=score).scores)
            records.append(result_of(scored))
            said[cell.id] = predicted(right[k, block])
    return records, said


def test_planted_noise_is_found_again():
    records, said = grid()
    found = observed(records, said.__getitem__)
    assert (found.seeds, found.family, found.arms, found.noise.items) == (6, 12, 12, 3_000)
    assert found.noise.accuracy == pytest.approx(80, abs=2.5)
    assert found.noise.disagreement == pytest.approx(20, abs=1)
    assert found.noise.same_arm == pytest.approx(12, abs=1)
    assert found.noise.sd == pytest.approx(2.0, rel=0.4)
    assert (found.noise.classes, found.noise.collapse) == (2, 0.1)  # none collapsed: the default


def test_a_large_gain_is_not_taken_for_disagreement():
    """At 80 and 50 % a third of the items differ whatever else; like accuracies are wanted."""
    records, said = grid(arms=1, gain=30.0)
    assert observed(records, said.__getitem__).noise.disagreement == pytest.approx(20, abs=2.5)


def test_collapses_are_counted():
    records, said = grid(arms=2, blocks=2)
    flagged = [
        dataclasses.replace(r, flags=Flags(collapsed=r.seed == 0 and r.baseline is not None))
        for r in records
    ]
    assert observed(flagged, said.__getitem__).noise.collapse == 0.5


def test_what_one_seed_cannot_tell_is_as_by_default():
    records, said = grid(arms=1, blocks=1)
    found = observed(records, said.__getitem__)
    assert (found.seeds, found.noise.sd) == (1, Noise().sd)


def test_without_predictions_there_is_nothing_to_learn_from():
    def read(identity):
        raise BadInputError("none kept")

    with pytest.raises(BadInputError, match="no arm"):
        observed(grid(arms=1, blocks=2)[0], read)
    assert np.isfinite(observed(*_with_a_gap()).noise.sd)


def _with_a_gap():
    """Predictions of one arm are missing."""
    records, said = grid(arms=2, blocks=3)
    gone = next(r.id for r in records if r.names.source == "source1")

    def read(identity):
        if identity == gone:
            raise BadInputError("none kept")
        return said[identity]

    return records, read


def test_of_numbers_no_item_is_right_or_wrong_and_the_way_out_is_told():
    cells = family("mae")
    with pytest.raises(BadInputError, match="these results are of numbers: without a folder"):
        observed(results_from(cells.records), cells.read_said)
