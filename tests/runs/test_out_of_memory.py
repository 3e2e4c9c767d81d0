"""Where the device has no memory for a batch it is computed in halves, once, and this is told."""

import numpy as np
import pytest
import torch
from test_going_on import CPU, chosen

from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning


@pytest.fixture
def holding(monkeypatch):
    """Let a device hold so many examples at once."""

    def hold(number):
        whole = FullFinetuning.loss

        def loss(self, batch, progress):
            if batch.size > number:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return whole(self, batch, progress)

        monkeypatch.setattr(FullFinetuning, "loss", loss)

    return hold


def test_half_a_batch_at_a_time_is_the_same_cell_run_as_with_twice_the_parts(
    tmp_path, holding, capsys
):
    cell, other = chosen(FullFinetuning()), chosen(FullFinetuning(), accumulate=2)
    ledger, expected = Ledger(tmp_path), Ledger(tmp_path / "other")
    alone = run(other, expected)
    holding(4)
    found = run(cell, ledger)
    assert found.id == cell.id
    assert (found.cost.halvings, alone.cost.halvings) == (1, 0)
    assert found.scores == alone.scores
    said = [place.predictions(c.id) for place, c in ((ledger, cell), (expected, other))]
    assert np.array_equal(*(part.probabilities for part in said))
    assert found.config["training"]["accumulate"] == 1, "what was asked for"
    assert "no memory for a whole batch" in capsys.readouterr().err


def test_it_is_tried_once_more_and_no_oftener(tmp_path, holding):
    holding(3)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        run(chosen(FullFinetuning()), Ledger(tmp_path))
    assert not [*(tmp_path / "cells").glob("*/*")]


def run(cell, ledger):
    from transfergrid.runs.cell import run_cell

    return run_cell(cell, ledger, CPU)
