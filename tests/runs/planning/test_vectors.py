"""Grids of vectors: what goes with what, and what is said before cells run."""

import pytest

from composed import planned
from transfergrid.records.errors import BadInputError
from transfergrid.runs.planning import forewarnings
from transfergrid.verbs.ranking import check_pair

MOONS = ("source=moons", "target=moons", "training=vectors")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path / "cache"))


def table(folder, columns, name="t.csv"):
    """Write a table with these columns and two classes."""
    lines = [",".join([*columns, "label"])]
    lines += [",".join([*(f"{i * 7 % 11 + j}" for j in range(len(columns))), "ab"[i % 2]])
              for i in range(40)]  # fmt: skip
    (folder / name).write_text("\n".join(lines))
    return str(folder / name)


def own(folder, columns, source="abc", inputs=3, kind="mlp"):
    """Return words for a table as the target, and another as the source domain."""
    return (
        *("target=vectors", f"target.file={table(folder, columns)}", "target.test_split=0.2"),
        *(f"source={kind}", f"source.domain.file={table(folder, source, 'source.csv')}"),
        *("source.domain.test_split=0.2", f"source.architecture.inputs={inputs}"),
        "training=vectors",
    )


@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_a_table_goes_with_a_network_of_its_width(tmp_path, kind):
    plan = planned(*own(tmp_path, "abc", kind=kind))
    (wanted,) = (cell for cell in plan.cells if cell.id in plan.wanted)
    assert wanted.names.source.startswith(f"{kind}(")
    assert wanted.names.architecture == kind


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("source=moons", "target=digits"), "moons takes vectors, and digits holds images"),
        (
            ("source=moons", "target=number_words"),
            r"moons takes vectors, and number_words.* holds te",
        ),
        (("source=glyph_digits", "target=moons"), "glyph_digits takes images, and moons holds vec"),
    ],
)
def test_other_modalities_are_refused_by_their_names(words, message):
    metric = ["target.metric=mae"] if "target=number_words" in words else []
    with pytest.raises(BadInputError, match=message):
        planned(*words, *metric)


def test_a_target_of_another_width_is_refused_for_scratch_as_well(tmp_path):
    for strategy in ("full_finetuning", "scratch"):
        with pytest.raises(BadInputError, match=r"mlp.* takes vectors of 3 numbers, and .* of 2"):
            planned(*own(tmp_path, "ab"), f"strategy={strategy}")


def test_columns_in_another_order_are_refused_and_others_are_not(tmp_path):
    with pytest.raises(BadInputError, match=r"another order: give source.domain.columns=\[c,a,b\]"):
        planned(*own(tmp_path, "cab"))
    assert planned(*own(tmp_path, "cab"), "source.domain.columns=[c,a,b]").wanted
    assert planned(*own(tmp_path, "def")).wanted


def test_rank_refuses_what_a_grid_refuses(tmp_path):
    from composed import composer, requested

    def pair(*words):
        asked, _ = requested(*words)
        check_pair(asked.sources[0], asked.targets[0])

    assert composer()
    pair(*MOONS)
    with pytest.raises(BadInputError, match=r"takes vectors of 3 numbers, and .* of 2"):
        pair(*own(tmp_path, "ab"))


def test_each_target_is_asked_with_the_training_and_source_meant_for_it():
    plan = planned("source=moons,glyph_digits", "target=moons,digits", "training=vectors,images")
    asked = {
        (cell.names.source, cell.names.target, cell.names.training)
        for cell in plan.cells
        if cell.id in plan.wanted
    }
    assert asked == {
        ("moons", "moons", "vectors"),
        ("glyph_digits", "digits", "images"),
    }


def test_that_nothing_is_augmented_is_told():
    def told(training):
        return forewarnings.lines(planned(*MOONS[:2], training).cells)

    assert told("training=vectors") == []
    (line,) = told("training=default")
    assert line.startswith("moons: vectors are not augmented: training.augmentation=light does")


def test_shifts_and_strengths_are_other_sources_of_one_scratch():
    plan = planned(
        *MOONS, "source.domain.shift=rotated,sheared", "source.domain.strength=0.5,1",
        "strategy=full_finetuning", "labels=5",
    )  # fmt: skip
    assert len(plan.wanted) == 4
    assert len(plan.cells) == 5
