"""A chain of tasks is asked for in one key; what cannot be one is said in one line."""

import pytest

from composed import planned
from transfergrid.records.errors import BadInputError
from transfergrid.records.identity import identity_of
from transfergrid.records.needs import Needs

CHAIN = [
    "source=trained_here",
    "target@source.domain=[glyph_letters,glyph_digits]",
    "target=digits",
]
ORDER = "strategy.links=[glyph_letters,glyph_digits]"


def sequential(*words):
    plan = planned(*CHAIN, "strategy=sequential", "labels=5", *words)
    assert not plan.skipped
    (cell,) = [cell for cell in plan.cells if cell.names.strategy.startswith("sequential")]
    return cell


def test_the_order_of_links_is_part_of_what_a_cell_is():
    one, other = sequential(ORDER), sequential("strategy.links=[glyph_digits,glyph_letters]")
    assert one.id != other.id
    assert one.baseline.name == "scratch"


def test_the_usual_order_is_one_cell_whether_it_is_typed_or_not():
    usual, typed = sequential(), sequential("strategy.links=[glyph_digits,glyph_letters]")
    assert (typed.id, typed.parts) == (usual.id, usual.parts)
    assert typed.names == usual.names
    plan = planned(
        *CHAIN, "strategy=sequential", "labels=5", f"{ORDER},[glyph_digits,glyph_letters],null"
    )
    assert len(plan.wanted) == 2


def test_other_keys_that_were_typed_are_told_beside_an_order_that_is_not():
    cell = sequential("strategy.links=[glyph_digits,glyph_letters]", "strategy.keep=ewc")
    assert cell.names.strategy == "sequential(keep=ewc)"


def test_a_cell_has_the_identity_that_its_own_config_gives_it():
    """So has one that was planned when an order that was typed was always part of it."""
    for cell in (sequential(), sequential(ORDER)):
        needs = Needs.read(cell.needs)
        assert identity_of(cell.config, needs) == (cell.parts, cell.id)
        older = {k: v for k, v in cell.needs.items() if k != "ordered_by"}
        assert identity_of(cell.config, Needs.read(older)) == (cell.parts, cell.id)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((*CHAIN, ORDER, "labels=0"), "needs target labels, and labels=0 gives none"),
        (("source=glyph_letters", "target=digits", "labels=5"), "needs two source domains or more"),
        (
            (*CHAIN, "labels=5", "strategy.links=[glyph_letters,digits]"),
            "must name each domain of the source once",
        ),
    ],
)
def test_what_is_no_chain_is_refused_with_the_reason(words, reason):
    with pytest.raises(BadInputError, match=reason) as told:
        planned("strategy=sequential", *words)
    assert "\n" not in str(told.value)


def test_links_of_classes_and_of_numbers_are_no_chain():
    words = ["source=trained_here", "target@source.domain=[glyph_letters,glyph_angles]"]
    with pytest.raises(BadInputError, match="are no one source"):
        planned(*words, "strategy=sequential", "target=digits", "labels=5")


def test_ewc_takes_a_source_with_its_domain_and_needs_labels():
    plan = planned("strategy=ewc", "source=glyph_letters", "target=digits", "labels=5")
    assert [cell.names.strategy for cell in plan.cells if cell.names.strategy == "ewc"] == ["ewc"]
    with pytest.raises(BadInputError, match="needs target labels"):
        planned("strategy=ewc", "source=glyph_letters", "target=digits", "labels=0")
