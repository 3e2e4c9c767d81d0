"""Which strategies a source of several domains suits, and which a source of one."""

import pytest

from transfergrid.records.errors import BadInputError
from transfergrid.records.identity import part_digest, source_part
from transfergrid.records.needs import Needs
from transfergrid.records.several import joined
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked, Option

NOISE = "transfergrid.data.noise.Noise"


def domain(n_classes=10, **more):
    return {"_target_": NOISE, "n_classes": n_classes, "metric": "accuracy", **more}


def source(name, *parts, made_here=True):
    about = {"start": "start"} if made_here else {}
    network = {"_target_": "transfergrid.sources.timm.TimmArchitecture", "model": "small"}
    several = {"version": 1, "paths": [], "descriptive": ["part_of", "names"]}
    own = joined(parts, [f"d{i}" for i, _ in enumerate(parts)], several) if len(parts) > 1 else None
    domain = own or (parts[0] if parts else None)
    config = {"_target_": "a.B", "architecture": network, "domain": domain, "about": about}
    return Option(name, config)


def strategy(name, **needs):
    about = {"needs": needs, "baselines": {"labelled": None}}
    return Option(name, {"_target_": f"b.{name}", "about": about})


POOLED = strategy("pooled", source="start", domains=1, classes="same")
TUNED = strategy("tuned")
APART = strategy("apart", source="start", domains=2, classes="same")
ANY = strategy("any", source="start", domains=2)
MERGED = strategy("merged", each=True)
TARGET = Option("digits", domain(10, seed=9))
ALIKE = source("a+b", domain(seed=1), domain(seed=2))
UNLIKE = source("a+l", domain(seed=1), domain(26))
ONE = source("a", domain(seed=1))
FILES = source("f+g", domain(seed=1), domain(seed=2), made_here=False)
NO_DOMAIN = source("f", made_here=False)


def reason(strategy, source):
    """Return why a cell cannot be; None where it can."""
    training = Option("default", {"_target_": "c.Training"})
    asked = Asked([source], [strategy], [TARGET], [training], [20], [0])
    try:
        Planner({}.__getitem__, (), compared=False).plan(asked)
    except BadInputError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("strategy", "source", "told"),
    [
        (POOLED, ALIKE, None),
        (TUNED, ALIKE, None),
        (APART, ALIKE, None),
        (MERGED, ALIKE, None),
        (POOLED, ONE, None),
        (POOLED, UNLIKE, "the same classes in all domains of a+l"),
        (TUNED, UNLIKE, "the same classes in all domains of a+l"),
        (APART, UNLIKE, "the same classes in all domains of a+l"),
        (ANY, UNLIKE, None),
        (MERGED, UNLIKE, None),
        (APART, ONE, "apart needs two source domains or more, and a brings one"),
        (MERGED, ONE, "merged needs two source domains or more, and a brings one"),
        (APART, NO_DOMAIN, "needs a labelled source domain, and source f brings none"),
        (POOLED, FILES, None),
        (APART, FILES, None),
        (MERGED, FILES, "trained here from one start, and those of f+g were not"),
        (MERGED, NO_DOMAIN, "trained here from one start, and those of f were not"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_what_suits_whom(strategy, source, told):
    found = reason(strategy, source)
    assert found is None if told is None else told in found
    assert "\n" not in (found or "")


def test_a_domain_beside_weights_of_files_is_no_matter_to_who_takes_the_weights_alone():
    """Two domains for one file: fine-tuning is the same cell with one, with both and with none."""
    unlike = source("f+l", domain(seed=1), domain(26), made_here=False)
    assert reason(TUNED, unlike) is None
    parts = {part_digest(source_part(one.config, Needs())) for one in (FILES, unlike, NO_DOMAIN)}
    assert len(parts) == 1


def test_two_orders_are_one_source_and_two_sets_are_two():
    needs = Needs(source="start", domains=2)
    turned = source("b+a", domain(seed=2), domain(seed=1))
    digests = [part_digest(source_part(one.config, needs)) for one in (ALIKE, turned, UNLIKE, ONE)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
