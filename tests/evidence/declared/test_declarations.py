"""Declarations: their digest, which one counts, and how many seeds were declared by when."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfergrid.evidence.declared.declarations import (
    Comparisons,
    Declaration,
    by_family,
    comparisons,
    grids_of,
    newest,
    plans_by_family,
)
from transfergrid.evidence.declared.looks import Look, named
from transfergrid.evidence.verdicts.families import Family
from transfergrid.records.cell import Reference
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger

FULL = Declaration(
    margins={"flowers": 3.0},
    max_seeds=10,
    baselines={"full_finetuning": ["scratch", None], "dann": ["source_and_target", "source_only"]},
    seeds=(0, 1, 2),
    sources=("glyphs",),
    strategies=("dann", "full_finetuning"),
    targets=("digits",),
    labels=("20", "all"),
)
CHANGES = {
    "margin": 2.0,
    "alpha": 0.01,
    "power": 0.9,
    "correction": "bh",
    "max_seeds": 11,
    "family": "everything",
    "margins": {"flowers": 2.5},
    "baselines": {},
    "seeds": (0, 1),
    "sources": ("noise",),
    "strategies": (),
    "targets": ("letters",),
    "labels": ("all",),
}
FAMILY = Family("aa", 20, "scratch", "transfer")


def test_the_digest_changes_with_every_field():
    assert CHANGES.keys() == FULL.plain().keys()
    digests = {replace(FULL, **{key: value}).digest for key, value in CHANGES.items()}
    assert len(digests | {FULL.digest}) == len(CHANGES) + 1


def test_the_digest_is_that_of_another_day():
    assert Declaration().digest == "086a67c653c14921"


@given(st.permutations(sorted(FULL.plain())))
def test_the_digest_does_not_depend_on_the_order_of_keys(keys):
    told = FULL.plain()
    turned = {key: told[key] for key in keys}
    turned["baselines"] = dict(reversed(turned["baselines"].items()))
    assert Declaration.read(turned).digest == FULL.digest


def test_a_target_of_its_own_margin_is_judged_by_it_and_by_all_other_rules():
    assert FULL.rules_on("flowers") == replace(FULL.rules, margin=3.0)
    assert FULL.rules_on("digits") == FULL.rules


def test_what_a_grid_keeps_is_read_back():
    assert Declaration.read(FULL.plain()) == FULL


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"margin": 0}, "margin"),
        ({"alpha": 2}, "alpha"),
        ({"correction": "hom"}, "holm"),
        ({"max_seeds": 2, "seeds": (0, 1, 2)}, "3 or more"),
        ({"max_seeds": 2.5}, "max_seeds"),
        ({"margins": {"flowers": 0}}, "margin"),
    ],
)
def test_values_that_make_no_sense_are_told(wrong, told):
    with pytest.raises(BadInputError, match=told):
        Declaration(**wrong)


def test_a_misspelt_key_is_told():
    with pytest.raises(BadInputError, match="margin"):
        Declaration.read({"magin": 1})


def grid(asked, seeds=3, cells=("a",), **told):
    declared = Declaration(seeds=tuple(range(seeds)), **told).plain()
    return {"asked": asked, "declaration": declared, "cells": {key: {} for key in cells}}


def test_the_grid_asked_for_last_declares():
    grids = [grid("2026-02-02", margin=2.0), grid("2026-02-01", margin=3.0), {"asked": "2026-03"}]
    assert newest(grids).margin == 2.0
    assert newest([{"asked": "2026", "cells": {}}]) is None


def seeds(grids, *looks):
    plan = plans_by_family(grids, {FAMILY: {"a", "b"}}, looks).get(named(FAMILY))
    return plan and plan.seeds


def look(at, n=3, declared=()):
    shown = {named(FAMILY): {"arm": frozenset(range(n))}}
    return Look(at, "verdicts", shown, {"seeds": list(declared)})


def test_seeds_declared_before_the_first_look_count():
    grids = [grid("2026-01-01", 3), grid("2026-01-02", 5), grid("2026-01-09", 20)]
    assert seeds(grids, look("2026-01-05"), look("2026-01-12")) == 5


def test_seeds_declared_after_the_first_look_do_not_count_as_declared_beforehand():
    assert seeds([grid("2026-01-01", 3), grid("2026-01-09", 20)], look("2026-01-05")) == 3
    # the first grid was asked for again meanwhile, and is kept as of then
    again = [grid("2026-01-08", 20), grid("2026-01-09", 3)]
    assert seeds(again, look("2026-01-05", 3, range(3))) == 3
    assert seeds(again, look("2026-01-05", 3)) == 3  # nothing was declared: what it showed


def test_until_somebody_looks_the_last_declaration_counts():
    assert seeds([grid("2026-01-01", 3), grid("2026-01-09", 20)]) == 20


def test_grids_without_a_cell_of_the_family_declare_nothing_for_it():
    assert seeds([grid("2026-01-01", 3, cells=("other",))]) is None
    assert seeds([grid("2026-01-01", 3), grid("2026-01-02", 9, cells=("other",))]) == 3


def test_the_last_seeds_declared_after_a_look_change_nothing_of_what_it_spent():
    grids = [grid("2026-01-01", 3), grid("2026-01-09", 3, max_seeds=10)]
    (plan,) = plans_by_family(grids, {FAMILY: {"a"}}, [look("2026-01-05")]).values()
    assert plan == (3, None)
    (plan,) = plans_by_family(grids, {FAMILY: {"a"}}, []).values()
    assert plan == (3, 10)


def test_a_family_goes_by_the_last_grid_that_asked_for_its_cells():
    grids = [
        grid("2026-01-02", margin=2.0),
        grid("2026-01-01", margin=3.0),
        grid("2026-01-03", margin=9.0, cells=("other",)),
    ]
    assert by_family(grids, {FAMILY: {"a", "b"}})[named(FAMILY)].margin == 2.0
    assert by_family(grids, {FAMILY: {"b"}}) == {}


def test_each_cell_is_compared_as_the_last_grid_said():
    def told(baseline, **more):
        return Comparisons(baseline, (), **more)

    one, other = (Reference(name="scratch", id=identity) for identity in "12")
    found = comparisons(
        [
            {"asked": "2026-02", "cells": {"a": told(other, contaminated_by=("imagenet",))}},
            {"asked": "2026-01", "cells": {"a": told(one), "b": told(None)}},
        ]
    )
    assert found["a"].baseline == Reference(name="scratch", id="2")
    assert found["a"].contaminated_by == ("imagenet",)
    assert (found["b"].baseline, found["b"].contaminated_by) == (None, None)


def test_a_grid_that_compares_nothing_takes_no_comparison_from_an_earlier_one(tmp_path):
    one = {"baseline": {"name": "scratch", "id": "1"}, "exploratory": []}
    none = {"baseline": None, "exploratory": []}
    first, second = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"
    ledger = Ledger(tmp_path)
    ledger.write_document("grids", {"asked": first, "cells": {"a": one}})
    cells = {"a": none, "b": none}
    ledger.write_document("grids", {"asked": second, "compared": False, "cells": cells})
    found = comparisons(grids_of(ledger))
    assert ledger.warnings == []
    assert found["a"].baseline == Reference(name="scratch", id="1")
    assert "b" not in found
