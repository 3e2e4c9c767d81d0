"""What each of several sources adds: all less all but it, paired by seed, corrected together."""

import json
from itertools import combinations

import numpy as np
import pytest

from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.declared.looks import looks
from transfergrid.evidence.several.source_shares import BUT_ONE, source_shares
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.records.cell import Parts
from transfergrid.records.identity import part_digest, source_part
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.needs import Needs
from transfergrid.records.several import joined
from transfergrid.report.html.gather import report_data
from transfergrid.report.html.page import page
from transfergrid.report.tables.sheet import render
from transfergrid.report.views import source_view
from transfergrid.report.views.sides import side
from verdict_cells import Cells

DOMAINS = {name: {"_target_": "x.Y", "name": name} for name in "abc"}
ALONE = {"a": 74, "b": 75, "c": 66}
GOOD = {"ab": 80, "ac": 70, "bc": 71, "abc": 72}
"""c hurts: with it 72, without it 80."""


def source(names):
    """Return the config of a source that is trained here on these domains."""
    parts = [DOMAINS[name] for name in names]
    domain = joined(parts, list(names), {"descriptive": ["names"]}) if len(parts) > 1 else parts[0]
    about = {"start": "start"}
    return {"_target_": "x.T", "domain": domain, "architecture": {"_target_": "x.A"},
            "about": about}  # fmt: skip


def cells_of(scores, strategy="tuned", base=True, needs=None, made=None, n=5, **fields):
    cells = made or Cells()
    own = Needs(**(needs or {}))
    told = {"about": {"needs": needs or {}, "baselines": {}}}
    scratch = cells.arm("scratch", mean=70, n=n, sd=0.4) if base is True else base
    for names, mean in scores.items():
        config = source(names)
        part = part_digest(source_part(config, own))
        parts = Parts(strategy=strategy, target="T", training="default", source=part)
        cells.arm(
            strategy,
            "+".join(names),
            mean,
            scratch or None,
            n=n,
            config={"source": config, "strategy": told},
            parts=parts,
            **fields,
        )
    return cells


@pytest.fixture
def bench(tmp_path):
    return bench_of(cells_of(ALONE | GOOD).write(Ledger(tmp_path / "r")))


def by_source(bench, **how):
    return {s.source: s for s in source_shares(bench, bench.verdicts(**how))}


def test_each_source_has_its_gain_alone_that_of_all_and_what_it_adds(bench):
    found = by_source(bench)
    assert list(found) == ["c", "a", "b"], "the one that hurts most stands first"
    assert {name: share.less.gain for name, share in found.items()} == pytest.approx(
        {"a": 72 - 71, "b": 72 - 70, "c": 72 - 80}, abs=0.3
    )
    assert found["c"].less.verdict is Kind.NEGATIVE
    verdicts = {v.source: v for v in bench.verdicts()}
    for name, share in found.items():
        assert share.alone == verdicts[name]
        assert share.all == verdicts["a+b+c"]
        assert share.less.baseline == BUT_ONE
        assert share.less.source == "a+b+c"
        assert (share.less.n, share.less.mean) == (5, pytest.approx(72, abs=0.3))


def test_differences_are_of_the_same_seed_block(tmp_path):
    """All seeds differ by the same 3 points, however they themselves vary."""
    cells = cells_of({"a": 60, "b": 63, "ab": 66}, n=4)
    bench = bench_of(cells.write(Ledger(tmp_path / "r")))
    hits = {r.names.source: {} for r in bench.results if r.names.source}
    for result in bench.results:
        if result.names.source:
            hits[result.names.source][result.seed] = 100 * result.score
    found = by_source(bench)
    assert set(found) == {"a", "b"}, "of two, all but one is the other alone"
    by_hand = [hits["a+b"][seed] - hits["b"][seed] for seed in range(4)]
    assert list(found["a"].less.gains) == pytest.approx(by_hand)
    assert found["a"].less.gain == pytest.approx(np.mean(by_hand))
    assert found["a"].alone.source == "a"


def test_they_are_one_family_and_holm_corrects_them_together(bench):
    less = [share.less for share in by_source(bench).values()]
    assert {verdict.family_size for verdict in less} == {3}
    ordered, largest = sorted(less, key=lambda v: v.p), 0.0
    for rank, verdict in enumerate(ordered):
        largest = max(largest, min(1.0, verdict.p * (3 - rank)))
        assert verdict.p_corrected == pytest.approx(largest)
    assert not any(verdict.primary for verdict in less)


def test_the_largest_set_is_meant_and_what_was_not_run_is_left_out(tmp_path):
    some = {names: score for names, score in (ALONE | GOOD).items() if names not in ("ab", "c")}
    found = by_source(bench_of(cells_of(some).write(Ledger(tmp_path / "r"))))
    assert set(found) == {"a", "b"}, "nothing without c was run"
    pairs = {names: score for names, score in (ALONE | GOOD).items() if names != "abc"}
    found = source_shares(
        other := bench_of(cells_of(pairs).write(Ledger(tmp_path / "s"))), other.verdicts()
    )
    assert sorted((share.less.source, share.source) for share in found) == sorted(
        ("+".join(pair), one) for pair in combinations("abc", 2) for one in pair
    )


def test_strategies_and_budgets_are_apart_and_one_that_has_no_baseline_is_there(tmp_path):
    cells = cells_of(ALONE | GOOD)
    cells_of(
        ALONE | GOOD,
        "source_only",
        base=None,
        needs={"source": "start", "domains": 1},
        made=cells,
    )
    bench = bench_of(cells.write(Ledger(tmp_path / "r")))
    found = source_shares(bench, bench.verdicts())
    assert [(s.less.strategy, s.source) for s in found] == [
        (strategy, name) for strategy in ("source_only", "tuned") for name in "cab"
    ]
    assert {s.less.family_size for s in found} == {6}, "of one target and label budget"
    alone = [s.alone for s in found if s.less.strategy == "source_only"]
    assert alone == [None] * 3


def test_a_ledger_without_such_sources_has_none(tmp_path):
    bench = bench_of(cells_of(ALONE).write(Ledger(tmp_path / "r")))
    assert source_shares(bench, bench.verdicts()) == []
    shown = side("sources", bench, bench.verdicts(), bench.rules)
    assert "leave_one_out([A,B,C])" in render(shown, "table")
    assert not any(s.name == "sources" for s in report_data(bench).sections)


def test_further_seeds_are_a_further_look(bench):
    verdicts = bench.verdicts()
    side("sources", bench, verdicts, bench.rules)
    (look,) = looks(bench.ledger)
    (family,) = [name for name in look.seeds if BUT_ONE in name]
    assert len(look.seeds[family]) == 3, "one for each that was left out"
    assert set(look.seeds[family].values()) == {frozenset(range(5))}
    again = bench_of(bench.ledger)
    assert [s.less.level for s in source_shares(again, again.verdicts())] == [
        s.less.level for s in source_shares(bench, verdicts)
    ]


def test_cells_and_predictions_are_those_of_the_ledger(bench):
    known = {result.id for result in bench.results}
    for share in by_source(bench).values():
        assert {*share.less.cells, *share.less.baseline_cells} <= known
        assert share.less.scope == "seeds and test items"
        assert share.less.items > 1


# Shown ------------------------------------------------------------------------------------------


def test_the_view_says_all_of_it(bench):
    shown = side("sources", bench, bench.verdicts(), bench.rules)
    rows = json.loads(render(shown, "json"))
    assert [row["source"] for row in rows] == ["c", "a", "b"]
    first = rows[0]
    assert first["sources"] == "a+b+c"
    assert first["adds"] == pytest.approx(first["all_score"] - first["all_but_it_score"])
    assert first["low"] < first["adds"] < first["high"] < 0
    assert (first["n"], first["verdict"], first["family_size"]) == (5, "negative", 3)
    assert first["alone_baseline"] == first["all_baseline"] == "scratch"
    text = render(shown, "table")
    assert "Which of several sources hurts?" in text
    assert "it adds" in text


def test_the_report_has_a_section_where_such_cells_are(bench):
    data = report_data(bench)
    (section,) = [s for s in data.sections if s.name == "sources"]
    assert section.lines == (source_view.counted(source_shares(bench, bench.verdicts())),)
    assert "1 hurt" in section.lines[0]
    assert len(data.further) == 3
    html = page(data)
    assert "Which of several sources hurts?" in html
    assert "one of them" in html
