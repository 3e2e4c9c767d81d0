"""A linear head that is the nearest class mean (Snell et al. 2017)."""

import numpy as np
import pytest
import torch

from golden import golden
from transfergrid.strategies.closed_form.prototypes import Prototypes, nearest_mean
from transfergrid.testing.bench import Bench


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
