"""Each side view by its name, of a ledger with what it is about planted in it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ledger_factory import made
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.verdicts.decisions import Rules
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.findings import Diagnostics, Forgetting, Probe
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Data
from transfergrid.report.tables.sheet import render
from transfergrid.report.views.sides import SIDES, effects_of, parts_of, side
from verdict_cells import Cells

NAMES = ("cat", "dog")


@pytest.fixture
def cells():
    cells = Cells()
    base = cells.arm("scratch")
    longer = cells.arm("scratch_converged", mean=90)
    cells.arm("a", "glyphs", 80, base, sd=1.0, exploratory=[longer])
    cells.change(cells.records, data=Data(classes=NAMES))
    return cells


def opened(cells, folder):
    bench = bench_of(cells.write(Ledger(folder / "results")))
    return bench, bench.verdicts()


def rows(name, bench, verdicts):
    return json.loads(render(side(name, bench, verdicts, Rules()), "json"))


def test_each_view_has_its_own_rows_and_its_own_legend(cells, tmp_path):
    bench, verdicts = opened(cells, tmp_path)
    (flip,) = rows("flips", bench, verdicts)
    assert (flip["looked_at"], flip["other_verdict"]) == ("over scratch_converged", "negative")
    assert {row["part"] for row in rows("classes", bench, verdicts)} == set(NAMES)
    assert len(rows("beside", bench, verdicts)) == 1
    legends = {"flips": "depend on how", "classes": "within each part", "beside": "calibration"}
    for name, said in legends.items():
        text = render(side(name, bench, verdicts, Rules()), width=80)
        assert said in " ".join(text.split())
        assert max(map(len, text.splitlines())) <= 80
        assert said not in render(side(name, bench, verdicts, Rules()), "csv").partition("\n")[2]
    assert {*legends, "groups"} < set(SIDES)


def test_an_unknown_view_names_the_nearest(cells, tmp_path):
    bench, verdicts = opened(cells, tmp_path)
    with pytest.raises(BadInputError, match="did you mean classes"):
        side("clases", bench, verdicts, Rules())


def test_without_groups_it_says_what_would_name_them(cells, tmp_path):
    bench, verdicts = opened(cells, tmp_path)
    with pytest.raises(BadInputError, match=r"no groups: target\.group_column"):
        side("groups", bench, verdicts, Rules())


def test_what_cannot_be_taken_apart_is_passed_over_beside_what_can(cells, tmp_path):
    base = [cell for cell in cells.records if cell.names.strategy == "scratch"]
    arm = cells.arm("b", "glyphs", 75, base, sd=1.0)
    cells.change(arm, data=Data(classes=NAMES))
    del cells.said[arm[0].id]
    missing = made("c", "glyphs", baseline=made(seed=77), seed=77, data=Data(classes=NAMES))
    cells.records.append(missing)  # compared with nothing
    bench, verdicts = opened(cells, tmp_path)
    assert {v.strategy for v in verdicts} == {"a", "b", "c"}
    found = parts_of(bench, verdicts, "class", Rules())
    assert {(part.strategy, part.group) for part in found} == {("a", "cat"), ("a", "dog")}
    with pytest.raises(BadInputError, match="no verdicts"):
        parts_of(bench, [], "class", Rules())
    with pytest.raises(BadInputError, match="was not kept"):
        parts_of(bench, [v for v in verdicts if v.strategy == "b"], "class", Rules())


def test_groups_are_taken_apart_by_their_names(cells, tmp_path):
    for identity, said in cells.said.items():
        groups = np.where(np.arange(len(said.labels)) < 100, "old", "young")
        cells.said[identity] = Predictions(said.probabilities, said.labels, groups)
    bench, verdicts = opened(cells, tmp_path)
    found = {row["part"]: row for row in rows("groups", bench, verdicts)}
    assert {name: row["items"] for name, row in found.items()} == {"old": 100, "young": 300}
    assert found["old"]["gain"] == 0  # the easiest quarter: both arms hit all of it
    assert found["young"]["gain"] == pytest.approx(40 / 3, abs=0.3)


def probe(linear):
    return Probe(n=50, chance=0.5, knn=0.6, linear=linear)


def test_forgetting_is_what_the_cells_probes_noted(cells, tmp_path):
    arm = [cell for cell in cells.records if cell.names.strategy == "a"]
    for cell in arm[:2]:
        lost = Forgetting(before=probe(0.9), after=probe(0.8 - cell.seed / 10))
        cells.change([cell], diagnostics=Diagnostics(forgetting=lost))
    half = Forgetting(before=probe(0.9), after=None)
    cells.change(arm[2:3], diagnostics=Diagnostics(forgetting=half))
    bench, verdicts = opened(cells, tmp_path)
    (effects,) = effects_of(bench, verdicts)
    assert effects.forgetting.n == 2
    assert effects.forgetting.change == pytest.approx(-15)  # -10 and -20
    (control,) = effects_of(bench, [replace(verdicts[0], source=None)])
    assert control.forgetting is None  # no source, nothing to forget


@pytest.mark.parametrize("why", ["start", "placebo"])
def test_what_never_knew_the_source_task_can_neither_forget_nor_gain_it(why, cells, tmp_path):
    """Random weights that learn the source score .14 before and .92 after: no gain of transfer."""
    arm = [cell for cell in cells.records if cell.names.strategy == "a"]
    learned = Diagnostics(forgetting=Forgetting(before=probe(0.14), after=probe(0.92)))
    config = {
        "start": {"strategy": {"about": {"needs": {"source": "start"}}}},
        "placebo": {"source": {"_target_": "transfergrid.sources.placebo.Placebo"}},
    }[why]
    for cell in arm:
        cells.change([cell], diagnostics=learned, config=cell.config | config)
    bench, verdicts = opened(cells, tmp_path)
    assert [effects.forgetting for effects in effects_of(bench, verdicts)] == [None]


def test_looking_from_the_side_keeps_the_level_of_the_bench(cells, tmp_path):
    """At the level that is left after looks nothing is decided, and so nothing flips."""
    bench, _ = opened(cells, tmp_path)
    rules = Rules(alpha=1e-13)
    assert (
        json.loads(render(side("flips", bench, bench.verdicts(rules=rules), rules), "json")) == []
    )
