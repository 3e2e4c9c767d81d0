"""A cell in a file: an order or a record; what is edited in it is another cell."""

import json
from dataclasses import asdict, replace

import pytest

from composed import planned
from transfergrid.records.cell import cell_of
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.provenance import identified
from transfergrid.records.record import Machine, Status
from transfergrid.runs import checking
from transfergrid.runs.checking import check_parts
from transfergrid.runs.launching import worker
from transfergrid.runs.launching.worker import cell_in
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.phases import Objective, Phase


@pytest.fixture(scope="module")
def cells():
    made = planned("strategy=full_finetuning,domain_adversarial", "labels=0,2")
    return list(made.cells)


def test_an_order_and_a_record_hold_the_same_cell(cells):
    for cell in cells:
        record = identified(cell, Status.FAILED, reason="power")
        assert cell_in({"cell": asdict(cell)}) == cell
        found = cell_in(json.loads(record.to_json()))
        assert found == cell


def test_an_edited_file_is_another_cell(cells):
    order = {"cell": json.loads(json.dumps(asdict(cells[0])))}
    order["cell"]["config"]["strategy"]["lr_factor"] = 0.123
    edited = cell_in(order)
    assert edited.id != cells[0].id
    assert edited.parts.strategy != cells[0].parts.strategy


def test_a_yaml_that_plans_something_else_than_the_class_runs_is_refused(cells):
    told = json.loads(json.dumps(asdict(cells[0])))
    told["config"]["strategy"]["about"]["needs"]["unlabelled"] = True
    with pytest.raises(BadInputError, match="its YAML differ in needs"):
        check_parts(cell_of(told))


def _tuned(cells):
    return next(cell for cell in cells if cell.names.strategy == "full_finetuning")


def test_a_network_that_a_method_cannot_use_is_named_before_anything_runs(cells, monkeypatch):
    def build(self, sizes):
        raise BadInputError("the backbone has no BatchNorm")

    monkeypatch.setattr(FullFinetuning, "build", build)
    told = "full_finetuning with glyph_digits: the backbone has no BatchNorm"
    with pytest.raises(BadInputError, match=told):
        check_parts(_tuned(cells))


def test_phases_that_cannot_be_meant_are_refused_before_anything_runs(cells, monkeypatch):
    def phases(self):
        return [Phase("train", [Objective(self.loss, self.everything())], share=50)]

    monkeypatch.setattr(FullFinetuning, "phases", phases)
    with pytest.raises(BadInputError, match="full_finetuning: the shares of its phases make 50"):
        check_parts(_tuned(cells))


def test_what_takes_no_network_is_checked_before_the_first_network_is_built(cells, monkeypatch):
    told = [json.loads(json.dumps(asdict(cell))) for cell in cells]
    told[-1]["config"]["strategy"]["about"]["version"] = 77
    built = []
    monkeypatch.setattr(checking, "_first_weights", lambda *_: built.append(1))
    found = worker.check(told)
    assert "its YAML differ in needs" in found.reason
    assert (built, found.bytes) == ([], {})


def test_a_check_that_breaks_by_no_mistake_of_the_users_is_left_to_the_cell(cells, monkeypatch):
    first = cells[0].id

    def size(cell):
        if cell.id == first:
            raise MemoryError
        return 7

    monkeypatch.setattr(checking, "check_parts", size)
    told = [asdict(cell) for cell in cells]
    sizes = {cell.id: 7 for cell in cells if cell.id != first}
    assert worker.check(told) == worker.Checked(None, sizes)


def test_cells_that_no_network_suits_are_told_with_their_reasons(cells, monkeypatch):
    first = cells[0].id

    def size(cell):
        if cell.id == first:
            raise ImpossibleError("it has no BatchNorm")
        return 7

    monkeypatch.setattr(checking, "check_parts", size)
    found = worker.check([asdict(cell) for cell in cells])
    assert (found.reason, found.impossible) == (None, {first: "it has no BatchNorm"})


def test_a_student_may_take_other_inputs_than_its_teacher():
    student = "{_target_: transfergrid.sources.timm.TimmArchitecture, model: test_resnet, size: 24}"
    made = planned("strategy=distillation", f"strategy.student={student}", "labels=2")
    (cell,) = [c for c in made.cells if c.id in made.wanted]
    assert check_parts(cell) > 0


def test_a_failed_record_runs_again_in_its_own_ledger(cells, tmp_path, monkeypatch):
    obeyed = []
    monkeypatch.setattr(worker, "obey", lambda order: obeyed.append(order) or pytest.fail("ran"))
    record = identified(cells[0], Status.FAILED, reason="power")
    record = replace(record, machine=Machine(device="a chip", threads=4))
    folder = Ledger(tmp_path / "mine").fail(record, "the log")
    with pytest.raises(pytest.fail.Exception):
        worker.run_file(str(folder / "record.json"))
    (order,) = obeyed
    assert order.keys() == {"cell", "results"}
    assert order["results"] == str(tmp_path / "mine")
    assert order["cell"]["id"] == cells[0].id
