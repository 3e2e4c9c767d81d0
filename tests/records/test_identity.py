"""A cell's identity moves with everything that can move its score, and with nothing else."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from composed import composer, needed
from transfergrid.data.copies.found import SEARCHES
from transfergrid.records import trust
from transfergrid.records.cell import PROTOCOL, Parts
from transfergrid.records.component import Component
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import build, config_of, locate
from transfergrid.records.identity import (
    canonical,
    cell_id,
    config_digest,
    digest,
    read_labels,
    read_seed,
)
from transfergrid.records.shipped import conf_dir
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked, Option

GROUPS = ("source", "strategy", "target", "training")
OPTIONS = [
    (group, path.stem) for group in GROUPS for path in sorted((conf_dir() / group).glob("*.yaml"))
]
SOURCED = ["full_finetuning", "feature_extraction", "layerwise_lr", "distillation"]
WITH_DOMAIN = ["source_only", "source_and_target", "domain_adversarial"]


@pytest.fixture(scope="module")
def shipped():
    made = composer()
    return {
        (group, name): made.option(group, name, tuple(needed(group, name))).config
        for group, name in OPTIONS
    }


@pytest.fixture
def parts(shipped):
    """A cell's four configs, to be changed at will."""
    names = ("glyph_digits", "domain_adversarial", "digits", "default")
    return {g: copy.deepcopy(shipped[g, n]) for g, n in zip(GROUPS, names, strict=True)}


def identity_of(parts, labels=20, seed=0):
    """Plan one cell and return its identity."""
    options = {group: Option(group, config) for group, config in parts.items()}
    axes = [[options[group]] for group in GROUPS]
    plan = Planner(lambda name: Option(name, NO_BASELINE)).plan(Asked(*axes, [labels], [seed]))
    return next(iter(plan.wanted))


NO_BASELINE = {
    "_target_": "x",
    "about": {
        "needs": {"source": "none", "target_labels": "optional"},
        "baselines": {"labelled": None},
    },
}


def scalars(config, path=()):
    """Yield the paths of all values that can move a score, but for contents of files."""
    about = config.get("about", {})
    for key, value in config.items():
        if key in ("about", *about.get("descriptive", ()), *about.get("paths", ())):
            continue
        if isinstance(value, dict):
            yield from scalars(value, (*path, key))
        elif key != "_target_":
            yield (*path, key)


def changed(config, path, value=None):
    """Return a copy with the value at a path changed into another of its kind."""
    new = copy.deepcopy(config)
    node = new
    for key in path[:-1]:
        node = node[key]
    old = node[path[-1]]
    if value is None:
        value = other(old)
    node[path[-1]] = value
    return new


def other(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return f"{value}x"


# Everything that can move a score ----------------------------------------------------------------


POSSIBLE = {
    "inverted": True,
    "metric": "macro_f1",
    "sampling": "natural",
    "characters": "9876543210",
    "only": list("0123456789"),
    "selection": "snd",
    "oracle": True,
    "descriptions": {"3": "two bows"},
}
"""Other values for arguments that planning looks at."""


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_every_constructor_argument_moves_the_digest(shipped, tmp_path, group, name):
    config = with_files(shipped[group, name], tmp_path)
    known = {config_digest(config)}
    for path in scalars(config):
        known.add(config_digest(changed(config, path)))
    assert len(known) == 1 + len(list(scalars(config)))


def with_files(config, folder):
    """Put an existing file, to be taken byte by byte, wherever a config names a path."""
    file = folder / "file"
    file.write_text("content")
    new = {k: with_files(v, folder) if isinstance(v, dict) else v for k, v in config.items()}
    new["about"] = {**config.get("about", {}), "content": False, "amended": False}
    for key in new["about"].get("paths", ()):
        new[key] = str(file)
    return new


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_a_version_moves_the_digest(shipped, tmp_path, group, name):
    config = with_files(shipped[group, name], tmp_path)
    assert config["about"]["version"] >= 1
    new = copy.deepcopy(config)
    new["about"]["version"] += 1
    assert config_digest(new) != config_digest(config)


class Ledgered(Component):
    """Says itself what its path holds."""

    def __init__(self, file, note=""):
        self.file = file

    def content(self):
        return "".join(sorted(Path(self.file).read_text().splitlines()))


def test_content_can_be_told_by_the_component_itself(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("a\nb\n")
    second.write_text("b\na\n")
    about = {"version": 1, "paths": ["file"]}
    node = {"_target_": f"{__name__}.Ledgered", "note": "", "about": about}
    trust.vouch(node)
    told, bytes_ = ({**about, "content": c, "descriptive": ["note"]} for c in (True, False))
    one, two = ({**node, "file": str(file), "about": told} for file in (first, second))
    assert config_digest(one) == config_digest(two) == config_digest({**one, "note": "mine"})
    assert config_digest({**one, "about": bytes_}) != config_digest({**two, "about": bytes_})
    second.write_text("b\nc\n")
    assert config_digest(one) != config_digest(two)


def test_a_nested_version_moves_the_digest(shipped):
    config = shipped["source", "placebo"]
    new = copy.deepcopy(config)
    new["of"]["domain"]["about"]["version"] += 1
    assert config_digest(new) != config_digest(config)


def test_a_part_that_says_nothing_of_its_version_has_the_first():
    node = {"_target_": "a.B", "x": 1}
    assert config_digest(node) == config_digest({**node, "about": {"version": 1, "paths": []}})


def test_every_part_of_a_shipped_config_says_its_version(shipped):
    def nodes(value):
        if isinstance(value, dict):
            yield from [value] if "_target_" in value else []
            for inner in value.values():
                yield from nodes(inner)

    for config in shipped.values():
        for node in nodes(config):
            assert node["about"]["version"] == locate(node["_target_"]).version


def test_an_argument_called_version_is_not_hidden_by_about():
    node = {"_target_": "a.B", "about": {"version": 1}}
    assert config_digest({**node, "version": 1}) != config_digest({**node, "version": 2})


@pytest.mark.parametrize("group", GROUPS)
def test_each_part_moves_the_cell(parts, group):
    for path in scalars(parts[group]):
        if group == "source" and path[0] in ("training", "seed", "shuffle_labels"):
            continue  # of the source's own training: it starts before that
        new = {**parts, group: changed(parts[group], path, POSSIBLE.get(path[-1]))}
        labels = 0 if path[-1] in ("selection", "oracle") else 20  # of cells without target labels
        assert identity_of(new, labels) != identity_of(parts, labels), path


def test_labels_seed_and_protocol_move_the_cell(parts):
    made = {identity_of(parts, labels, seed) for labels in (0, 1, 20, "all") for seed in (0, 1)}
    assert len(made) == 8
    digests = Parts(strategy="a", target="b")
    assert len({cell_id(digests, 20, 0, protocol) for protocol in (1, 2, 3)}) == 3
    assert cell_id(digests, 20, 0) == cell_id(digests, 20, 0, PROTOCOL)
    assert len({config_digest(parts["target"], protocol) for protocol in (1, 2, 3)}) == 3


def test_content_under_a_path_moves_the_digest(tmp_path, shipped):
    config = with_files(shipped["target", "image_folder"], tmp_path)
    before = config_digest(config)
    Path(config["root"]).write_text("other content")
    assert config_digest(config) != before


@pytest.mark.parametrize(
    ("name", "ours", "others"),
    [
        ("image_folder", "image", "text"),
        ("arrays", "image", "text"),
        ("text_table", "text", "image"),
    ],
)
def test_how_copies_are_found_moves_the_digest_where_they_are_dropped(
    tmp_path, shipped, monkeypatch, name, ours, others
):
    keep = with_files(shipped["target", name], tmp_path)
    drop = {**keep, "duplicates": "drop"}
    before = config_digest(keep), config_digest(drop)
    assert "about.copy_search" not in canonical(drop), "the first way moved no one's identity"
    monkeypatch.setitem(SEARCHES, others, 2)
    assert (config_digest(keep), config_digest(drop)) == before
    monkeypatch.setitem(SEARCHES, ours, 2)
    assert config_digest(keep) == before[0]
    assert config_digest(drop) != before[1]


# Nothing else -----------------------------------------------------------------------------------


def test_descriptions_do_not(parts):
    new = copy.deepcopy(parts)
    for config in new.values():
        config["about"]["help"] = "in other words"
    assert identity_of(new) == identity_of(parts)


def test_spelling_of_a_path_does_not(tmp_path, monkeypatch, shipped):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"1")
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "a.png").write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    config = shipped["target", "image_folder"]
    spellings = ("photos", "photos/", "./photos", str(folder), f"{folder}/../photos/", "moved")
    assert len({config_digest({**config, "root": root}) for root in spellings}) == 1


def test_a_list_of_one_label_column_does_not(tmp_path, shipped):
    (tmp_path / "ages.csv").write_text("text,age\n" + "".join(f"t{i},{i}\n" for i in range(20)))
    config = shipped["target", "text_table"] | {"file": str(tmp_path / "ages.csv")}
    config |= {"metric": "mae", "test_split": 0.2}
    told = [config_digest({**config, "label": label}) for label in ("age", ["age"])]
    assert told[0] == told[1]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(config=st.dictionaries(st.sampled_from("abcd"), json_values), data=st.data())
def test_order_of_keys_does_not(config, data):
    shuffled = {key: config[key] for key in data.draw(st.permutations(list(config)))}
    assert config_digest(shuffled) == config_digest(config)


@given(config=st.dictionaries(st.sampled_from("abcd"), json_values))
def test_a_trip_through_json_does_not(config):
    assert config_digest(json.loads(json.dumps(config))) == config_digest(config)


@given(st.integers(-(2**60), 2**60))
def test_whole_floats_are_whole_numbers(number):
    assert canonical(float(number)) == int(float(number))
    assert type(canonical(float(number))) is int


def test_true_is_not_one():
    assert config_digest({"a": True}) != config_digest({"a": 1})


# What a strategy does not use -------------------------------------------------------------------


def variant(parts, strategy, shipped, **source):
    config = {**parts["source"], **source}
    return {**parts, "source": config, "strategy": shipped["strategy", strategy]}


@pytest.mark.parametrize("strategy", ["source_and_target", "full_finetuning"])
def test_noise_in_the_source_s_labels_moves_whatever_learns_of_them(parts, shipped, strategy):
    own = identity_of(variant(parts, strategy, shipped))
    assert identity_of(variant(parts, strategy, shipped, label_noise=None)) == own
    found = {identity_of(variant(parts, strategy, shipped, label_noise=s)) for s in (0.1, 1.0)}
    assert len(found | {own}) == 3


@pytest.mark.parametrize("strategy", ["scratch", "scratch_converged"])
def test_scratch_is_of_an_architecture_whatever_its_weights(parts, shipped, strategy):
    own = identity_of(variant(parts, strategy, shipped))
    letters = shipped["target", "glyph_letters"]
    for change in (
        {"seed": 7},
        {"domain": letters},
        {"shuffle_labels": True},
        {"label_noise": 0.5},
    ):
        assert identity_of(variant(parts, strategy, shipped, **change)) == own
    architecture = changed(parts["source"]["architecture"], ("model",), "resnet18")
    assert identity_of(variant(parts, strategy, shipped, architecture=architecture)) != own


def test_a_placebo_shares_its_sources_scratch(parts, shipped):
    placebo = {**variant(parts, "scratch", shipped), "source": shipped["source", "placebo"]}
    assert identity_of(placebo) == identity_of(variant(parts, "scratch", shipped))


@pytest.mark.parametrize("strategy", WITH_DOMAIN)
def test_strategies_on_the_source_domain_start_before_its_training(parts, shipped, strategy):
    own = identity_of(variant(parts, strategy, shipped))
    assert identity_of(variant(parts, strategy, shipped, seed=7)) == own
    small = changed(parts["source"]["domain"], ("per_class",), 7)
    assert identity_of(variant(parts, strategy, shipped, domain=small)) != own


def test_source_only_ignores_target_labels(parts, shipped):
    cell = variant(parts, "source_only", shipped)
    assert len({identity_of(cell, labels) for labels in (0, 1, 20, "all")}) == 1
    assert identity_of(cell, seed=1) != identity_of(cell, seed=0)


@pytest.fixture
def pretrained(shipped, tmp_path):
    """A source from a file, without and with a labelled domain of its own."""
    plain = with_files(shipped["source", "checkpoint"], tmp_path)
    return plain, {**plain, "domain": shipped["target", "glyph_digits"]}


@pytest.mark.parametrize("strategy", SOURCED)
def test_a_pretrained_sources_domain_moves_no_score_of_its_weights(
    parts, shipped, pretrained, strategy
):
    without, beside = (
        identity_of({**variant(parts, strategy, shipped), "source": source})
        for source in pretrained
    )
    assert without == beside


@pytest.mark.parametrize("strategy", WITH_DOMAIN)
def test_it_does_where_it_is_learned_from(parts, shipped, pretrained, strategy):
    source = pretrained[1]
    smaller = {**source, "domain": changed(source["domain"], ("per_class",), 7)}
    one, two = (
        identity_of({**variant(parts, strategy, shipped), "source": s}) for s in (source, smaller)
    )
    assert one != two


def test_the_domain_of_a_placebos_pretrained_source_does_not(parts, shipped, pretrained):
    placebo = shipped["source", "placebo"]
    one, two = (
        identity_of(
            {**variant(parts, "full_finetuning", shipped), "source": {**placebo, "of": source}}
        )
        for source in pretrained
    )
    assert one == two


@pytest.mark.parametrize("strategy", ["majority", "logistic_regression"])
def test_arms_without_a_source_ignore_source_and_training(parts, shipped, strategy):
    own = identity_of(variant(parts, strategy, shipped))
    other_parts = {
        **variant(parts, strategy, shipped),
        "source": shipped["source", "glyph_letters"],
    }
    other_parts["training"] = changed(parts["training"], ("steps",))
    assert identity_of(other_parts) == own


# Labels and seeds as typed ----------------------------------------------------------------------


@given(st.integers(0, 10**30), st.integers(0, 3))
def test_numbers_normalise(number, zeros):
    for read, value in ((read_labels, number), (read_seed, number % 2**63)):
        assert read(value) == read(str(value)) == read("0" * zeros + str(value)) == value
        assert read(f"{value}.0") == read(f"+{value}") == value
        assert type(read(str(value))) is int


def test_a_seed_of_64_bits_passes_through_no_float():
    seed = 2**53 + 1  # the first whole number that a float cannot hold
    for spelled in (seed, str(seed), f"{seed}.0", f"+{seed}", np.int64(seed), np.uint64(seed)):
        assert read_seed(spelled) == 9007199254740993
    with pytest.raises(BadInputError, match="a float this large may have been another"):
        read_seed(float(seed))


def test_a_seed_that_tables_cannot_hold_is_refused():
    assert read_seed(2**63 - 1) == 9223372036854775807
    with pytest.raises(BadInputError, match=r"seed=9223372036854775808: .* below 2\^63"):
        read_seed(2**63)


@pytest.mark.parametrize("value", [2, 2.0, "2", "02", "2.0"])
def test_spellings_of_two(value):
    assert read_labels(value) == read_seed(value) == 2


def test_all_is_a_budget_and_no_seed():
    assert read_labels("all") == "all"
    with pytest.raises(BadInputError, match="seed=all"):
        read_seed("all")


@pytest.mark.parametrize("value", [-1, "-1", 1.5, "two", "", None, True, "inf", "nan", [1], "ALL"])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(BadInputError, match="labels="):
        read_labels(value)
    with pytest.raises(BadInputError, match="seed="):
        read_seed(value)


def test_an_absent_part_is_not_an_empty_one():
    parts = Parts(strategy="a", target="b")
    assert cell_id(parts, 1, 0) != cell_id(replace(parts, source=digest(None)), 1, 0)


# Python and YAML --------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_python_and_yaml_mean_the_same_component(shipped, tmp_path, group, name):
    config = with_files(shipped[group, name], tmp_path)
    again = with_files(config_of(build(config)), tmp_path)
    assert config_digest(again) == config_digest(config)
    for key in ("needs", "baselines", "start"):
        if key in config["about"] and key == "start":
            assert again["about"][key] == config["about"][key]
    if group == "strategy":
        assert Option("a", again).needs == Option("b", config).needs
        assert Option("a", again).baselines == Option("b", config).baselines


SHAPED = ("glyph_letters", "images", "text", "digits28", "brief", "vectors")
"""Options that differ from their class's defaults on purpose."""


def inherits(group, name):
    """Tell whether an option is another one, less its defaults."""
    return "  - _self_\n" in (conf_dir() / group / f"{name}.yaml").read_text()


PLAIN = [(g, n) for g, n in OPTIONS if n not in SHAPED and not inherits(g, n)]


@pytest.mark.parametrize(("group", "name"), PLAIN)
def test_defaults_in_python_are_the_defaults_in_yaml(shipped, group, name):
    config = shipped[group, name]
    required = {key: value for key, value in config.items() if isinstance(value, dict)}
    required |= {key: config[key] for key in ("_target_", *config["about"]["paths"])}
    text = (conf_dir() / group / f"{name}.yaml").read_text()
    required |= {key: value for key, value in config.items() if f"\n{key}: ???" in text}
    described = config_of(build(required))
    same = {k: v for k, v in config.items() if k not in required}
    assert {key: described[key] for key in same} == same
