"""A linear head that is the nearest class mean (Snell et al. 2017)."""

import numpy as np
import pytest
import torch

from golden import golden
from transfergrid.records.factory import config_of
from transfergrid.records.identity import canonical
from transfergrid.strategies.closed_form.prototypes import Prototypes, brought, nearest_mean
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "prototypes")
def test_its_softmax_is_that_of_squared_distances():
    given, expected, tolerance = golden("prototypes", "numbers")
    support, query = (torch.tensor(given[n], dtype=torch.float64) for n in ("support", "query"))
    weight, bias = nearest_mean(support, torch.tensor(given["labels"]), 2)
    assert weight.tolist() == expected["head_w"]
    assert bias.tolist() == expected["head_b"]
    found = (query @ weight.T + bias).softmax(dim=1).numpy()
    assert np.allclose(found, expected["probabilities"], atol=tolerance)


def test_a_class_without_examples_is_never_predicted():
    weight, bias = nearest_mean(torch.tensor([[100.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 2]), 3)
    logits = torch.tensor([[0.0, 0.0], [5.0, 5.0], [-100.0, 0.0]]) @ weight.T + bias
    assert logits.isfinite().all()
    assert logits.softmax(dim=1)[:, 1].max().item() == 0.0


def test_a_cell_predicts_the_nearest_mean_of_the_frozen_source():
    run = Bench(Prototypes).run(10)
    setup, backbone = run.setup, run.setup.backbone.eval()
    train, test = setup.data.train, setup.target.whole("test", setup.preprocess)
    with torch.no_grad():
        features, others = (backbone(view.inputs(view.rows)) for view in (train, test))
    labels = torch.from_numpy(train.labels)
    means = torch.stack([features[labels == k].mean(dim=0) for k in range(3)])
    nearest = torch.cdist(others, means).argmin(dim=1)
    assert torch.equal(run.predictions.argmax(dim=1), nearest)
    assert run.fitted.steps == 0


def test_it_is_one_cell_under_every_training():
    assert not Prototypes.needs.steps
    with pytest.raises(TypeError, match="lr_factor"):
        Prototypes(lr_factor=1.0)


@pytest.mark.proves("formula_exact", "prototypes")
def test_centred_and_normalised_its_distances_are_those_of_simple_shot():
    given, expected, tolerance = golden("simple_shot", "cl2n")
    named = [("plain", False, False), ("l2n", False, True), ("cl2n", True, True)]
    for trial in range(2):
        support, query, base = (
            torch.tensor(given[part][trial], dtype=torch.float64)
            for part in ("support", "query", "base_mean")
        )
        for place, (name, centred, normalised) in enumerate(named):
            centre = base if centred else None
            near, far = (brought(part, centre, normalised) for part in (support, query))
            weight, bias = nearest_mean(near, torch.tensor(given["labels"]), 2)
            found = far.square().sum(1, keepdim=True) - far @ weight.T - bias
            assert np.allclose(found, expected[f"sq_distances_{name}"][trial], atol=tolerance)
            said = int(found.argmin())
            assert said == expected["predictions_plain_l2n_cl2n"][trial][place]


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("centre", [None, "target"])
def test_a_cell_centres_by_the_training_features_of_all_classes_and_then_normalises(texts, centre):
    bench = Bench(Prototypes, {"centre": centre, "normalise": "l2"})
    run = (bench.on_texts() if texts else bench).run(5)
    setup, backbone = run.setup, run.setup.backbone.eval()
    train, test = setup.data.train, setup.target.whole("test", setup.preprocess)
    with torch.no_grad():
        one, other = (backbone(v.inputs(v.rows)).double().numpy() for v in (train, test))
    middle = one.mean(0) if centre else 0.0
    one, other = (
        (part - middle) / np.linalg.norm(part - middle, axis=1, keepdims=True)
        for part in (one, other)
    )
    means = np.stack([one[train.labels == k].mean(0) for k in range(3)])
    far = ((other[:, None] - means) ** 2).sum(2)
    odds = np.exp(-far)
    assert np.allclose(run.predictions, odds / odds.sum(1, keepdims=True), atol=1e-5)


def test_centring_alone_changes_no_prediction():
    plain, centred = (Bench(Prototypes, {"centre": c}).run(5) for c in (None, "target"))
    assert torch.allclose(plain.predictions, centred.predictions, atol=1e-5)


def test_with_its_options_left_out_it_is_the_cell_that_it_always_was():
    told = canonical(config_of(Prototypes()))
    assert told == {"_target_": "prototypes", "about.version": 1}
    assert canonical(config_of(Prototypes(normalise="l2"))) != told
