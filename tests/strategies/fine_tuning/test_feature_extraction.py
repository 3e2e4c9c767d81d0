"""The linear probe is a convex problem, and is solved as one."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from transfergrid.records.training import Training
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.testing.bench import Bench

L2 = 0.1
PLAN = Training(
    steps=400,
    batch_size=64,
    optimizer="sgd",
    lr=0.2,
    weight_decay=L2,
    schedule="constant",
    augmentation="none",
    precision="64-true",
)


def probe(seed):
    """Fit a probe on the whole pool, each step on all of it, from a head of its own."""
    bench = Bench(FeatureExtraction, {"lr_factor": 1.0}, training=PLAN)
    setup = bench.set_up("all")
    setup.data.train = setup.target.whole("pool", setup.preprocess)
    setup.data.validation = None
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        nn.init.normal_(setup.strategy.head.weight, std=2.0)
        nn.init.normal_(setup.strategy.head.bias, std=2.0)
    bench.learn(setup)
    return setup


def features_of(setup):
    view = setup.data.train
    with torch.no_grad():
        return setup.strategy.backbone.embed(view.inputs(view.rows).double()), view.labels


def objective(setup):
    features, labels = features_of(setup)
    head = setup.strategy.head
    loss = nn.functional.cross_entropy(head(features), torch.from_numpy(labels))
    return (loss + L2 / 2 * sum(p.square().sum() for p in head.parameters())).item()


@pytest.fixture(scope="module")
def probes():
    return [probe(seed) for seed in (0, 1)]


def test_two_starts_reach_the_same_loss(probes):
    assert objective(probes[0]) == pytest.approx(objective(probes[1]), abs=1e-6)
    assert torch.allclose(probes[0].strategy.head.weight, probes[1].strategy.head.weight, atol=1e-6)


def test_agrees_with_scikit_learn(probes):
    features, labels = features_of(probes[0])
    with_one = np.hstack([features.numpy(), np.ones((len(labels), 1))])  # so the bias is penalised
    solver = LogisticRegression(
        C=1 / (L2 * len(labels)), fit_intercept=False, tol=1e-10, max_iter=5000
    )
    solver.fit(with_one, labels)
    head = probes[0].strategy.head
    ours = np.hstack([head.weight.detach().numpy(), head.bias.detach().numpy()[:, None]])
    assert np.allclose(ours, solver.coef_, atol=1e-4)
    predicted = head(features).softmax(dim=1).detach().numpy()
    assert np.allclose(predicted, solver.predict_proba(with_one), atol=1e-4)
