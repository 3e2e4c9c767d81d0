"""A ledger that grows is indexed as it does, in few segments."""

from ledger_factory import made, predicted
from transfergrid.records.ledgers import index, indexing
from transfergrid.records.ledgers.indexing import Indexing
from transfergrid.records.ledgers.ledger import Ledger


class Counted(Ledger):
    """Counts how often it is indexed."""

    times = 0

    def compact(self):
        self.times += 1


def test_few_segments_do_for_many_cells_and_few_cells_are_out_of_them(tmp_path):
    growing = Indexing(Counted(tmp_path))
    for cells in range(1, 100_001):
        growing.count()
        assert growing.new < max(indexing.LEAST, indexing.SHARE * cells + 1)
    assert growing.ledger.times < 120


def test_cells_are_indexed_once_enough_of_them_have_come(tmp_path, monkeypatch):
    monkeypatch.setattr(indexing, "LEAST", 3)
    growing = Indexing(Ledger(tmp_path / "results"))
    for seed in range(5):
        growing.ledger.write(made(seed=seed), predicted([True, False]))
        growing.count()
        segments = len([*(tmp_path / "results" / "index").glob("*")])
        assert segments == (1 if seed >= 2 else 0)


def test_a_disk_that_takes_no_index_is_told_and_costs_no_cell(tmp_path, monkeypatch, capsys):
    growing = Indexing(Ledger(tmp_path / "results"))
    growing.ledger.write(made())
    monkeypatch.setattr(index, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
    growing.index()
    assert "no index was written: " in capsys.readouterr().err


def test_predictions_are_opened_only_for_columns_that_come_of_them(tmp_path):
    ledger = Ledger(tmp_path / "results")
    ledger.write(made(score=0.75), predicted([True, True, True, False]))
    path = ledger.folder(made().id) / "predictions.npz"
    path.write_bytes(b"damaged")
    assert ledger.columns(("id", "score")) == [(made().id, 0.75)]
    assert ledger.warnings == []
    assert ledger.columns(("id", "right")) == [(made().id, None)]
    assert str(path) in ledger.warnings[0]
