"""A cell is trained by several processes and another one than the worker is killed: once more."""

import sys

import pretend_grid
from pretend_grid import cell
from transfergrid.records.ledgers.ledger import Ledger

WORKER = """
from pathlib import Path

import pretend_worker
from transfergrid.records.cell import cell_of
from transfergrid.records.errors import KilledError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.launching import worker


def obey(order):
    cell, results = cell_of(order["cell"]), order["results"]
    tries = Path(results).parent / "tries" / cell.id
    if cell.seed == 1 or (cell.seed == 2 and not tries.exists()):
        tries.parent.mkdir(exist_ok=True)
        with tries.open("a") as file:
            print(0, file=file)
        raise KilledError(9)
    pretend_worker.do(cell, results)
    return Ledger(results).read(cell.id)


worker.obey, worker.check = obey, lambda cells: worker.Checked()
worker.main(["-"])
"""


def test_its_cell_is_tried_once_more_and_a_second_time_it_has_failed(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(f"import sys; sys.path[:0] = {sys.path!r}\n{WORKER}")
    cells = [cell(number) for number in range(4)]
    outcome = pretend_grid.run(tmp_path / "results", cells, (sys.executable, str(script)))
    assert (outcome.done, outcome.failed) == (3, 1)
    tries = {one.seed: (tmp_path / "tries" / one.id).read_text().split() for one in cells}
    assert {seed: len(told) for seed, told in tries.items()} == {0: 1, 1: 2, 2: 2, 3: 1}
    (failure,) = Ledger(tmp_path / "results").failures()
    assert failure.seed == 1
    assert failure.reason == "its worker process ended with SIGKILL (out of memory?), twice"
    log = tmp_path / "results" / "attempts" / failure.id / "1" / "log.txt"
    assert "a process that trained this cell too was ended by SIGKILL" in log.read_text()
