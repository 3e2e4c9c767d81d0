"""What a grid makes of sources that learned without labels, and of targets that are clustered."""

import pytest

from composed import planned
from transfergrid.data.noise import Noise
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.records.needs import Needs
from transfergrid.records.training import Training
from transfergrid.runs.planning.contamination import contaminated_by
from transfergrid.sources.pretrained_here import PretrainedHere
from transfergrid.sources.timm import TimmArchitecture

SMALL = TimmArchitecture("test_resnet", 16, {"in_chans": 1})


def reasons(plan):
    return {left.label.split(" x ")[1]: left.reason for left in plan.skipped}


def test_methods_are_a_grid_like_any_other_and_scratch_is_one_for_all_of_them():
    plan = planned(
        "source=pretrained_here",
        "source.method=autoencoder,rotation,simclr,byol,mae",
        "strategy=full_finetuning",
        "labels=5,20",
    )
    names = [(c.names.strategy, c.labels) for c in plan.cells]
    assert names.count(("full_finetuning", 5)) == names.count(("full_finetuning", 20)) == 5
    assert names.count(("scratch", 5)) == 1


def test_what_needs_labels_or_a_head_of_the_source_is_left_out_with_a_reason():
    plan = planned(
        "source=pretrained_here",
        "strategy=feature_extraction,source_and_target,learning_without_forgetting",
        "labels=5",
    )
    told = reasons(plan)
    assert "learns from the source's labels" in told["source_and_target"]
    assert "has learned none" in told["learning_without_forgetting"]


def test_methods_share_the_arm_that_looks_at_inputs_alone():
    plan = planned(
        "source=pretrained_here", "source.method=rotation,mae", "strategy=self_taught", "labels=5"
    )
    assert [c.names.strategy for c in plan.cells].count("self_taught") == 1


def test_clusters_are_found_by_what_finds_clusters_and_once_for_all_label_budgets():
    words = ("target=digits", "target.metric=nmi", "labels=0,5")
    plan = planned("source=glyph_digits", "strategy=kmeans_on_features,kmeans_on_codes", *words)
    found = sorted((c.names.strategy, c.labels) for c in plan.cells)
    assert found == [("kmeans", 0), ("kmeans_on_codes", 0), ("kmeans_on_features", 0)]
    over = {c.names.strategy: c.baseline and c.baseline.name for c in plan.cells}
    assert over == {"kmeans": None, "kmeans_on_codes": "kmeans", "kmeans_on_features": "kmeans"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("strategy=full_finetuning", "target.metric=nmi"), "learns classes, and digits"),
        (("strategy=kmeans",), r"learns clusters \(target.metric=nmi or ari\), and digits"),
        (("source=pretrained_here", "source.method=mlm"), "mlm learns from texts"),
        (("source=pretrained_here", "source.masked=0.5"), "masked means nothing to"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(words, line):
    with pytest.raises(BadInputError, match=line):
        planned(*words, "target=digits", "labels=5")


def test_the_targets_own_pool_without_labels_is_not_what_is_tested_on():
    target = Noise(n_classes=2, part_of=["Noise"])
    source = PretrainedHere(SMALL, target, Training(), "rotation")
    assert contaminated_by(config_of(source), Needs(), config_of(target)) == ()
    other = Noise(n_classes=2, part_of=["Noise"], seed=5)
    assert contaminated_by(config_of(source), Needs(), config_of(other)) == ("Noise",)
