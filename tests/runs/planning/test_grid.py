"""Which cells there are: expansion, baselines, what cannot be, order."""

from itertools import product
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfergrid.records.cell import different_parts
from transfergrid.records.errors import BadInputError
from transfergrid.runs.planning.fitting import Fitting
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked, Option, left_of

NOISE = "transfergrid.data.noise.Noise"


def domain(n_classes=10, **more):
    return {"_target_": NOISE, "n_classes": n_classes, **more}


def architecture(model="small"):
    return {"_target_": "transfergrid.sources.timm.TimmArchitecture", "model": model}


def source(name, model="small", of=None, trained_here=True, **more):
    about = {"start": "start"} if trained_here else {}
    config = {"_target_": f"a.{name}", "architecture": architecture(model), "domain": of}
    return Option(name, {**config, "weights_of": name, **more, "about": about})


def strategy(name, needs, baselines=None, **more):
    about = {"needs": needs, "baselines": baselines or {}}
    return Option(name, {"_target_": f"b.{name}", **more, "about": about})


ADAPTS = {"source": "start", "domains": 1, "classes": "same"}
LIBRARY = {
    made.name: made
    for made in (
        strategy("scratch", {"source": "architecture"}, {"labelled": None}),
        strategy("full_finetuning", {}, {"exploratory": ["feature_extraction", "scratch_longer"]}),
        strategy("feature_extraction", {}, {"exploratory": ["full_finetuning"]}),
        strategy("source_only", {**ADAPTS, "target_labels": "unused"}, {"labelled": None}),
        strategy("source_and_target", ADAPTS),
        strategy(
            "adversarial",
            {**ADAPTS, "target_labels": "optional", "unlabelled": True},
            {"labelled": "source_and_target", "unlabelled": "source_only"},
        ),
        strategy("scratch_longer", {"source": "architecture"}),
        strategy("majority", {"source": "none", "training": False}, {"labelled": None}),
    )
}
DIGITS = Option("digits", domain(10, seed=5))
TRAINING = Option("default", {"_target_": "c.Training", "steps": 3})
PRINTED = source("printed", of=domain(10))
GLYPHS = "transfergrid.data.glyphs.Glyphs"
LETTERS = source("letters", of={"_target_": GLYPHS, "characters": "ABCDEFGHIJKLMNOPQRSTUVWXYZ"})


def plan(strategies, sources=(PRINTED,), labels=(20,), seeds=(0,), references=(), **axes):
    chosen = [LIBRARY[s] if isinstance(s, str) else s for s in strategies]
    targets, trainings = axes.get("targets", [DIGITS]), axes.get("trainings", [TRAINING])
    asked = Asked(list(sources), chosen, targets, trainings, list(labels), list(seeds))
    return Planner(LIBRARY.__getitem__, references, axes.get("compared", True)).plan(asked)


def names(made):
    return sorted(cell.label for cell in made.cells)


# Expansion --------------------------------------------------------------------------------------


def test_a_grid_without_baselines_is_what_was_asked_and_keeps_its_identities():
    bare = plan(["full_finetuning"], seeds=(0, 1), references=["majority"], compared=False)
    assert {cell.names.strategy for cell in bare.cells} == {"full_finetuning", "majority"}
    assert all(cell.baseline is None and not cell.exploratory for cell in bare.cells)
    assert {c.id for c in bare.cells} < {
        c.id for c in plan(["full_finetuning"], seeds=(0, 1), references=["majority"]).cells
    }


@given(
    st.lists(st.sampled_from([1, 2, 20, "all"]), min_size=1, max_size=4),
    st.lists(st.integers(0, 3), min_size=1, max_size=4),
)
def test_a_grid_is_the_product_of_its_axes_without_repeats(labels, seeds):
    made = plan(["full_finetuning"], [PRINTED, LETTERS], labels, seeds)
    blocks = set(product(labels, seeds))
    assert len(made.wanted) == 2 * len(blocks)
    assert len(made.cells) == 3 * len(blocks)
    assert len({cell.id for cell in made.cells}) == len(made.cells)


def test_trainings_are_an_axis():
    longer = Option("longer", {**TRAINING.config, "steps": 9})
    made = plan(["full_finetuning"], trainings=[TRAINING, longer])
    assert len(made.wanted) == 2
    pairs = {(cell.id, cell.baseline.id) for cell in made.cells if cell.baseline}
    assert len({baseline for _, baseline in pairs}) == 2, "a baseline has its cell's training"


# Baselines --------------------------------------------------------------------------------------


def test_a_single_cell_gets_its_baseline():
    made = plan(["full_finetuning"])
    assert names(made) == [
        "printed x full_finetuning x digits, labels=20, seed=0",
        "scratch x digits, labels=20, seed=0",
    ]
    first, second = made.cells
    assert (second.baseline.name, second.baseline.id) == ("scratch", first.id)
    assert made.wanted == {second.id}
    assert first.baseline is None


def test_sources_of_one_architecture_share_scratch():
    big = source("big", model="large", of=domain(10))
    made = plan(["full_finetuning", "feature_extraction"], [PRINTED, LETTERS, big], seeds=range(3))
    scratch = [cell for cell in made.cells if cell.names.strategy == "scratch"]
    assert len(scratch) == 2 * 3
    assert {cell.names.architecture for cell in scratch} == {"small", "large"}
    for cell in made.cells:
        if cell.baseline:
            (its,) = [other for other in scratch if other.id == cell.baseline.id]
            assert (its.names.architecture, its.seed) == (cell.names.architecture, cell.seed)


def test_a_baseline_that_is_asked_for_is_there_once_and_wanted():
    made = plan(["full_finetuning", "scratch"])
    assert len(made.cells) == len(made.wanted) == 2


@pytest.mark.parametrize(
    ("labels", "name"), [(0, "source_only"), (1, "source_and_target"), ("all", "source_and_target")]
)
def test_an_adapting_strategys_primary_baseline_depends_on_the_labels(labels, name):
    made = plan(["adversarial"], labels=[labels])
    (cell,) = [cell for cell in made.cells if cell.id in made.wanted]
    assert cell.baseline.name == name
    (baseline,) = [other for other in made.cells if other.id == cell.baseline.id]
    assert (baseline.names.strategy, baseline.names.source) == (name, "printed")


def test_source_only_is_one_cell_a_seed_whatever_the_labels():
    made = plan(["source_only"], labels=[0, 2, "all"], seeds=[0, 1])
    assert names(made) == [
        f"printed x source_only x digits, labels=0, seed={seed}" for seed in (0, 1)
    ]


def test_baselines_of_baselines_come_along():
    made = plan(["adversarial"], labels=[2])
    order = ["scratch", "source_and_target", "adversarial"]
    assert [cell.names.strategy for cell in made.cells] == order


def test_a_baseline_drops_the_strategys_overrides():
    def tuned(rate):
        mine = LIBRARY["feature_extraction"].config
        return Option(f"feature_extraction({rate})", {**mine, "lr_factor": rate})

    own = strategy("full_finetuning", {}, lr_factor=9)
    made = plan([tuned(1), tuned(2), own])
    assert len({cell.baseline.id for cell in made.cells if cell.baseline}) == 1
    (scratch,) = [cell for cell in made.cells if cell.names.strategy == "scratch"]
    assert scratch.config["strategy"] is LIBRARY["scratch"].config
    assert all(not cell.exploratory for cell in made.cells), "those asked for differ by overrides"


def test_exploratory_comparisons_are_made_where_their_cells_exist():
    alone = plan(["full_finetuning"])
    assert [cell.exploratory for cell in alone.cells] == [(), ()]
    both = plan(["full_finetuning", "feature_extraction"])
    by_name = {cell.names.strategy: cell for cell in both.cells}
    (told,) = by_name["full_finetuning"].exploratory
    assert (told.name, told.id) == ("feature_extraction", by_name["feature_extraction"].id)


def test_what_goes_before_another_strategy_is_compared_with_that_one_as_it_stands_there():
    inside = strategy("full_finetuning", {}, lr_factor=9)
    reads = strategy("reads", {"unlabelled": True}, {"exploratory": ["then"]}, then=inside.config)
    made = plan([reads, inside, LIBRARY["full_finetuning"]])
    (reading,) = [cell for cell in made.cells if cell.names.strategy == "reads"]
    (told,) = reading.exploratory
    compared = next(cell for cell in made.cells if cell.id == told.id)
    assert compared.config["strategy"] == inside.config
    assert not [*plan([reads, LIBRARY["full_finetuning"]]).cells][-1].exploratory


def test_a_student_is_compared_with_scratch_of_its_own_architecture():
    small = strategy("distillation", {"teacher": True}, student=architecture("student"))
    made = plan([small, "full_finetuning"])
    by_name = {cell.names.strategy: cell for cell in made.cells}
    models = {cell.names.architecture: cell.id for cell in made.cells if not cell.baseline}
    assert models.keys() == {"student", "small"}
    assert by_name["distillation"].baseline.id == models["student"]
    assert by_name["full_finetuning"].baseline.id == models["small"]
    assert by_name["distillation"].names.architecture == "student"


def test_what_stands_beside_a_source_is_compared_with_the_same_encoder_alone():
    alone = strategy("alone", {"source": "architecture"}, encoder={"width": 64})
    wide = strategy("alone", {"source": "architecture"}, encoder={"width": 128})
    beside = strategy("beside", {}, {"exploratory": ["alone"]}, encoder={"width": 128})
    LIBRARY["alone"] = alone
    made = plan([beside, wide, alone])
    del LIBRARY["alone"]
    cells = {cell.names.strategy: cell for cell in made.cells}
    (told,) = cells["beside"].exploratory
    compared = next(cell for cell in made.cells if cell.id == told.id)
    assert compared.config["strategy"]["encoder"] == {"width": 128}


# Reference arms ---------------------------------------------------------------------------------


def test_reference_arms_once_for_each_target_budget_and_seed():
    made = plan(
        ["full_finetuning"], [PRINTED, LETTERS], [2, "all"], [0, 1], references=["majority"]
    )
    arms = [cell for cell in made.cells if cell.names.strategy == "majority"]
    assert len(arms) == 4
    assert not {cell.id for cell in arms} & made.wanted
    assert all(cell.config["source"] is None and cell.config["training"] is None for cell in arms)
    assert all(cell.names.architecture is None for cell in arms)


def test_no_reference_arms_without_labels():
    made = plan(["source_only"], labels=[0], references=["majority"])
    assert len(made.cells) == 1
    assert not made.skipped


# What cannot be ---------------------------------------------------------------------------------


def test_reasons_in_words():
    bare = source("bare")
    made = plan(["full_finetuning", "source_and_target"], [PRINTED, LETTERS, bare], [0, 20], [0, 1])
    told = {skipped.label: skipped.reason for skipped in made.skipped}
    assert told["printed x full_finetuning x digits, labels=0"] == (
        "full_finetuning needs target labels, and labels=0 gives none"
    )
    assert told["letters x source_and_target x digits, labels=20"] == (
        "source_and_target needs the same classes in source and target, and letters has "
        "26 (A, B, C, ...), digits has 10 (0, 1, 2, ...)"
    )
    assert told["bare x source_and_target x digits, labels=20"] == (
        "source_and_target needs a labelled source domain, and source bare brings none"
    )
    assert len(told) == len(made.skipped) == 8, "one line whatever the number of seeds"
    assert len(made.wanted) == 2 * (3 + 1)


def test_nothing_possible_is_bad_input_with_every_reason():
    with pytest.raises(BadInputError) as caught:
        plan(["source_and_target", "full_finetuning"], [LETTERS], labels=[0])
    told = str(caught.value)
    assert told.startswith("nothing that was asked is possible: ")
    assert "full_finetuning needs target labels" in told
    assert "\n" not in told


HEAD = {"source": "head", "target_labels": "optional", "tasks": ["classification"]}
ANGLES = source(
    "angles", of={"_target_": "transfergrid.data.glyph_angles.GlyphAngles", "metric": "mae"}
)


@pytest.mark.parametrize(
    ("needs", "made", "reason"),
    [
        (
            {**HEAD, "classes": "same"},
            LETTERS,
            "own needs the same classes in source and target, and letters has "
            "26 (A, B, C, ...), digits has 10 (0, 1, 2, ...)",
        ),
        (
            {**HEAD, "classes": "same"},
            source("bare"),
            "own needs to know the source's classes, and source bare brings no domain that says "
            "them",
        ),
        (HEAD, ANGLES, "own learns classes, and the head of angles gives numbers"),
    ],
)
def test_the_sources_own_head_is_of_what_the_strategy_needs(needs, made, reason):
    with pytest.raises(BadInputError) as refused:
        plan([strategy("own", needs, {"labelled": None})], [made])
    assert reason in str(refused.value)


def test_the_sources_own_head_may_be_of_other_classes_or_the_same():
    same = strategy("same", {**HEAD, "classes": "same"}, {"labelled": None})
    other = strategy("other", HEAD, {"labelled": None})
    made = plan([same, other], [PRINTED, LETTERS, source("bare")])
    kept = {(cell.names.strategy, cell.names.source) for cell in made.cells}
    assert kept == {("same", "printed"), *(("other", s) for s in ("printed", "letters", "bare"))}


def test_classes_that_differ_in_spelling_alone_are_hinted_at():
    glyphs = {"_target_": GLYPHS, "size": 8, "per_class": 1}
    lower, upper = ({**glyphs, "characters": characters} for characters in ("ab", "AB"))
    with pytest.raises(BadInputError, match=r"has 2 \(A, B\); they differ only in how they are w"):
        plan(["source_and_target"], [source("x", of=lower)], targets=[Option("y", upper)])


def test_an_impossible_baseline_leaves_the_cell_without_one_and_says_so():
    odd = strategy("odd", {}, {"labelled": "source_and_target"})
    made = plan([odd], [LETTERS])
    (cell,) = made.cells
    assert cell.baseline is None
    assert "needs the same classes" in made.skipped[0].reason


def test_a_domain_that_cannot_be_used_is_told_before_anything_runs():
    with pytest.raises(BadInputError, match="n_classes"):
        plan(["adversarial"], targets=[Option("bad", domain(1))])


# Order and size ---------------------------------------------------------------------------------


def test_baselines_first():
    made = plan(
        ["full_finetuning", "adversarial", "feature_extraction"],
        [PRINTED, LETTERS],
        [0, 2],
        range(3),
        references=["majority"],
    )
    number = {cell.id: i for i, cell in enumerate(made.cells)}
    compared = [cell for cell in made.cells if cell.baseline]
    assert compared
    assert all(number[cell.baseline.id] < number[cell.id] for cell in compared)


def test_one_place_after_the_other_and_seed_by_seed():
    made = plan(["full_finetuning", "feature_extraction"], [PRINTED], [20, 2], [1, 0])
    assert [cell.labels for cell in made.cells] == [20] * 6 + [2] * 6
    baselines = [cell.seed for cell in made.cells if cell.baseline is None]
    assert baselines == [0, 1, 0, 1]


def test_a_baseline_of_another_place_is_run_with_the_first_that_needs_it():
    made = plan(["adversarial"], [PRINTED], [2, 0], [0])
    number = {cell.id: i for i, cell in enumerate(made.cells)}
    assert all(number[c.baseline.id] < number[c.id] for c in made.cells if c.baseline)


def test_the_same_request_has_the_same_identity_in_any_order():
    one = plan(["full_finetuning", "feature_extraction"], [PRINTED, LETTERS], [2, 20], [0, 1])
    two = plan(["feature_extraction", "full_finetuning"], [LETTERS, PRINTED], [20, 2], [1, 0])
    assert one.id == two.id
    assert plan(["full_finetuning"]).id != one.id


def test_parts_are_hashed_once_whatever_the_number_of_cells(monkeypatch):
    from transfergrid.runs.planning import plan as planned

    calls = []
    real = planned.config_digest
    monkeypatch.setattr(planned, "config_digest", lambda config: calls.append(1) or real(config))
    fresh = [Option(o.name, o.config) for o in (LIBRARY["full_finetuning"], LIBRARY["scratch"])]
    target, training = Option("digits", DIGITS.config), Option("default", TRAINING.config)
    made = plan(fresh, [PRINTED, LETTERS], seeds=range(500), targets=[target], trainings=[training])
    assert len(made.cells) == 2 * 500 + 500
    assert len(calls) <= 5


@pytest.mark.parametrize(
    ("about", "told"),
    [
        (None, "own: its YAML says nothing under about.needs"),
        ({"baselines": {}}, "own: its YAML says nothing under about.needs"),
        ({"needs": {}}, "own: its YAML says nothing under about.baselines"),
        (
            {"needs": {"sorce": "none"}, "baselines": {}},
            "unknown key .* 'sorce'; did you mean source",
        ),
    ],
)
def test_a_strategy_that_does_not_describe_itself_is_told_what_is_missing(about, told):
    own = Option("own", {"_target_": "b.own", "about": about})
    with pytest.raises(BadInputError, match=told):
        plan([own])


def test_texts_and_images_do_not_mix():
    text = {"_target_": "transfergrid.sources.transformers.TransformersArchitecture"}
    encoder = Option("encoder", {"_target_": "a.encoder", "architecture": text})
    with pytest.raises(BadInputError, match="encoder takes texts, and digits holds images"):
        plan(["full_finetuning"], [encoder])


def test_what_needs_described_classes_is_left_out_where_there_are_none():
    described = strategy("zero_shot", {"source": "weights", "classes": "described"})
    with pytest.raises(BadInputError, match="zero_shot needs descriptions of the classes, and"):
        plan([described])


# Images and texts in one grid ------------------------------------------------------------------

WRITING = Option("writing", {"_target_": "transfergrid.data.text_table.TextTable", "file": "x"})
READER = source("reader", of=None)
READER.config["architecture"] = {
    "_target_": "transfergrid.sources.transformers.TransformersArchitecture",
    "model": "reader",
}
TRAININGS = [
    Option(kind, {"_target_": "c.Training", "steps": n, "about": {"kind": kind}})
    for n, kind in enumerate(("images", "text"))
]


def both_kinds(**axes):
    more = {"targets": [DIGITS, WRITING], "trainings": TRAININGS, **axes}
    with patch.object(Fitting, "classes", lambda self, domain: ("a", "b")):
        return plan(["full_finetuning"], more.pop("sources", [PRINTED, READER]), **more)


def test_images_and_texts_side_by_side_take_each_what_is_for_them():
    made = both_kinds(compared=False)
    found = {(c.names.source, c.names.target, c.names.training) for c in made.cells}
    assert found == {("printed", "digits", "images"), ("reader", "writing", "text")}
    assert made.skipped == []


def test_what_nothing_else_on_its_axis_suits_is_taken_or_left_out_with_its_reason():
    made = both_kinds(compared=False, trainings=TRAININGS[:1], sources=[PRINTED])
    assert [(c.names.target, c.names.training) for c in made.cells] == [("digits", "images")]
    (told,) = made.skipped
    assert told.reason == "printed takes images, and writing holds texts"


# What only the networks can tell ------------------------------------------------------------------

CHOOSY = strategy("choosy", {"layers": "batch_norm"})


def test_each_source_is_checked_with_a_strategy_that_not_every_source_suits():
    both = plan([CHOOSY, "full_finetuning"], [PRINTED, LETTERS], seeds=range(3))
    pairs = [(c.names.strategy, c.names.source) for c in different_parts(both.cells)]
    assert sorted(pairs).count(("choosy", "printed")) == 1
    assert sorted(pairs).count(("choosy", "letters")) == 1
    assert len([pair for pair in pairs if pair[0] == "full_finetuning"]) <= 1


def test_a_teacher_that_not_every_source_suits_is_tried_with_each():
    taught = strategy("taught", {})
    taught.config["teacher"] = CHOOSY.config
    both = plan(["full_finetuning", taught], [PRINTED, LETTERS], seeds=range(3))
    pairs = [(c.names.strategy, c.names.source) for c in different_parts(both.cells)]
    assert sorted(pairs).count(("taught", "printed")) == 1
    assert sorted(pairs).count(("taught", "letters")) == 1


def test_a_plan_goes_on_without_what_turned_out_to_be_impossible():
    whole = plan([CHOOSY, "full_finetuning"], seeds=range(2))
    odd = {c.id: "no BatchNorm" for c in whole.cells if c.names.strategy == "choosy"}
    left = whole.without(odd)
    assert [c.id for c in left.cells] == [c.id for c in whole.cells if c.id not in odd]
    (told,) = left.skipped
    assert (told.label, told.reason) == ("printed x choosy x digits, labels=20", "no BatchNorm")
    assert left.id == whole.id
    assert not left.wanted & set(odd)


def test_what_turned_out_to_be_impossible_is_nobodys_further_baseline():
    own = {"labelled": "scratch", "exploratory": ["choosy", "full_finetuning"]}
    compared = strategy("compared", {}, own)
    with patch.dict(LIBRARY, choosy=CHOOSY):
        whole = plan([compared, CHOOSY, "full_finetuning"])

    def further(cells):
        (cell,) = (cell for cell in cells if cell.names.strategy == "compared")
        return [other.name for other in cell.exploratory]

    assert further(whole.cells) == ["choosy", "full_finetuning"]
    odd = {c.id: "no BatchNorm" for c in whole.cells if c.names.strategy == "choosy"}
    assert further(whole.without(odd).cells) == ["full_finetuning"]
    assert further(left_of(whole.cells, odd)) == ["full_finetuning"]


def test_a_request_of_which_nothing_is_possible_says_why():
    whole = plan([CHOOSY])
    wanted = dict.fromkeys(whole.wanted, "no BatchNorm")
    with pytest.raises(BadInputError, match="nothing that was asked is possible: no BatchNorm"):
        whole.without(wanted)
