"""Features of all blocks: which are kept, and what is predicted of them."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from torch.nn.functional import adaptive_avg_pool2d

from golden import golden
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.records.ledgers.cached import Store
from transfergrid.runs.standing import standing
from transfergrid.strategies.closed_form.head2toe import Head2toe, block_features, kept
from transfergrid.strategies.closed_form.logistic_probe import LogisticProbe
from transfergrid.strategies.phases import Objective, Phase
from transfergrid.strategies.still import still_blocks
from transfergrid.testing.bench import MANY_NUMBERS, Bench
from transfergrid.testing.tiny import TinyBackbone


def bench(arguments=None, numbers=False, texts=False):
    made = Bench(Head2toe, arguments or {})
    made = made.on_numbers() if numbers else made
    return made.on_texts() if texts else made


def features(run):
    """Return features of all blocks and labels of training examples, and features of test ones."""
    setup, backbone = run.setup, run.setup.backbone.eval()
    train, test = setup.data.train, setup.target.whole("test", setup.preprocess)
    with torch.no_grad():
        one, other = (
            torch.cat(block_features(backbone, view.inputs(view.rows), 512), 1).double().numpy()
            for view in (train, test)
        )
    return one, train.labels, other


@pytest.mark.proves("formula_exact", "head2toe")
def test_the_features_of_the_largest_weights_are_kept():
    given, expected, tolerance = golden("head2toe", "selection")
    weights = np.array(given["probe_weights_feature_by_class"])
    assert np.allclose((weights**2).sum(1), expected["scores"], atol=tolerance)
    lasso = np.linalg.norm(weights, axis=1).sum()
    assert lasso == pytest.approx(expected["group_lasso_sum_of_norms"], abs=tolerance)
    for share, wanted in zip(given["keep_fractions"], expected["kept"], strict=True):
        assert kept(weights, share).tolist() == wanted


def test_no_feature_is_lost_to_rounding_and_one_is_always_kept():
    weights = np.arange(100.0)[::-1, None]
    assert 0.29 * 100 < 29
    assert len(kept(weights, 0.29)) == 29
    assert kept(weights, 0.0).tolist() == [0]
    assert len(kept(weights, 1.0)) == 100


@pytest.mark.parametrize("texts", [False, True])
def test_each_block_has_features_of_its_own_boundary_of_length_one(texts):
    setup = bench(texts=texts).set_up(5)
    backbone, view = setup.backbone.eval(), setup.data.train
    inputs = view.inputs(view.rows)
    with torch.no_grad():
        found = block_features(backbone, inputs, 20)
        blocks = len(backbone.blocks("fine"))
        assert len(found) == blocks
        for k, part in enumerate(found, start=1):
            boundary = backbone.prefix(k, "fine")(inputs)[0]
            assert torch.allclose(part.norm(dim=1), torch.ones(len(part)), atol=1e-5)
            channels = boundary.shape[-1] if texts or boundary.ndim == 2 else boundary.shape[1]
            side = max(1, min(int((20 / channels) ** 0.5), boundary.shape[-1]))
            wide = channels * (side**2 if boundary.ndim == 4 else 1)
            assert part.shape[1] == wide
            if boundary.ndim == 4 and side == 1:
                means = torch.nn.functional.normalize(boundary.mean((2, 3)), dim=1)
                assert torch.allclose(part, means, atol=1e-5)


def test_channels_of_maps_that_have_them_last_are_the_same_features():
    class Cut(TinyBackbone):
        axis = 1

        def boundaries(self, inputs, granularity):
            self.channel_axes[granularity] = (self.axis,)
            return [(inputs,)]

    class Last(Cut):
        axis = 3

    maps = torch.randn(2, 3, 4, 4)
    for size in (3, 12):
        (first,) = block_features(Cut(3), maps, size)
        (last,) = block_features(Last(3), maps.movedim(1, 3), size)
        assert torch.equal(first, last)
    assert first.shape == (2, 12)
    assert torch.allclose(first, normalised(adaptive_avg_pool2d(maps, 2).flatten(1)))


def normalised(features):
    return features / features.square().sum(1, keepdim=True).sqrt()


def test_padding_is_no_token():
    setup = bench(texts=True).set_up(5)
    backbone, view = setup.backbone.eval(), setup.data.train
    together = view.inputs(view.rows)
    with torch.no_grad():
        joined = torch.cat(block_features(backbone, together, 512), 1)
        for row in view.rows[:4]:
            alone = torch.cat(block_features(backbone, view.inputs(np.array([row])), 512), 1)
            assert torch.allclose(alone[0], joined[row], atol=1e-5)


@pytest.mark.parametrize("texts", [False, True])
def test_with_all_features_it_is_logistic_regression_on_those_of_all_blocks(texts):
    run = bench({"fraction": 1.0, "c": 3.0}, texts=texts).run(10)
    train, labels, test = features(run)
    solver = LogisticRegression(C=3.0, tol=1e-10, max_iter=10_000).fit(train, labels)
    assert np.allclose(run.predictions, solver.predict_proba(test), atol=1e-4)
    assert (run.fitted.steps, run.fitted.chosen_by) == (0, "closed_form")
    told = run.setup.strategy.tells()
    assert told["kept"] == told["of"] == train.shape[1]


def test_of_a_share_the_others_have_no_say():
    run = bench({"fraction": 0.3}).run(5)
    train, labels, test = features(run)
    weight = run.setup.strategy.head.weight.detach()
    some = np.flatnonzero((weight != 0).any(0))
    assert len(some) == int(0.3 * train.shape[1])
    told = run.setup.strategy.tells()
    assert (told["kept"], len(told["kept_by_block"])) == (len(some), 5)
    solver = LogisticRegression(C=10.0, tol=1e-10, max_iter=10_000).fit(train[:, some], labels)
    assert np.allclose(run.predictions, solver.predict_proba(test[:, some]), atol=1e-4)


def test_of_numbers_the_second_probe_is_ridge():
    run = bench({"fraction": 1.0}, numbers=True).run(MANY_NUMBERS)
    train, labels, test = features(run)
    alphas = np.linalg.svd(train - train.mean(0), compute_uv=False)[0] ** 2
    solver = RidgeCV(alphas * 10.0 ** np.linspace(-8, 2, 41)).fit(train, labels.reshape(-1))
    assert np.allclose(run.predictions.ravel(), solver.predict(test), atol=0.02 * labels.std())


def test_validation_chooses_the_share_and_without_it_is_a_tenth():
    (path,) = bench().run(10).fitted.paths
    assert (path.name, path.chosen in path.values) == ("fraction", True)
    assert len(path.values) == len(path.validation) == 7
    (path,) = bench().run(3).fitted.paths
    assert (path.chosen, tuple(path.values), tuple(path.validation)) == (0.1, (0.1,), ())


def test_its_features_are_kept_apart_from_the_embeddings_and_by_their_size(tmp_path):
    store = Store(tmp_path, 2**30)
    found = {}
    for kind, arguments in ((LogisticProbe, {}), (Head2toe, {}), (Head2toe, {"size": 8})):
        own = Bench(kind, arguments)
        own.machine = dataclasses.replace(own.machine, store=store)
        plain, run = Bench(kind, arguments).run(5), own.run(5)
        assert torch.allclose(run.predictions, plain.predictions, atol=1e-5)
        widths = {entry.about.get("made"): entry.rows for entry in store.entries()}
        found |= widths
    assert found.keys() == {None, *(f"features of all blocks, {s} each" for s in (512, 8))}


def test_the_second_cell_passes_nothing_through_the_network(tmp_path, monkeypatch):
    own = bench()
    own.machine = dataclasses.replace(own.machine, store=Store(tmp_path, 2**30))
    first = own.run(5)
    passes = []
    boundaries = TinyBackbone.boundaries

    def noted(self, inputs, *told):
        passes.append(len(inputs))
        return boundaries(self, inputs, *told)

    monkeypatch.setattr(TinyBackbone, "boundaries", noted)
    second = own.run(5)
    assert max(passes) <= 2  # to tell the widths, and to time a prediction
    assert torch.equal(first.predictions, second.predictions)


def test_diagnostics_may_still_ask_for_the_embeddings(tmp_path):
    own = bench()
    own.machine = dataclasses.replace(own.machine, store=Store(tmp_path, 2**30))
    setup = own.set_up(5)
    told = []
    for represented in (True, False):
        view = setup.data.train
        found = standing(setup.strategy, (), own.machine, [view], represented=represented)
        told.append(found.view(view).inputs(view.rows)[0].shape[1])
    assert told == [sum(setup.strategy.widths), setup.backbone.dim]


class Trained(Head2toe):
    """Features of all blocks, of which the last one learns: no cut of the network gives them."""

    def phases(self):
        learns = self.block_groups(first=len(self.backbone.blocks("fine")) - 1)
        return [Phase("train", [Objective(self.loss, learns)]), *super().phases()]


def test_nothing_is_kept_of_features_that_a_part_of_the_network_cannot_give():
    strategy = Bench(Trained).set_up(5).strategy
    train, select = strategy.phases()
    assert (still_blocks(strategy, train), still_blocks(strategy, select)) == (0, 5)


def test_a_network_that_cannot_be_cut_is_impossible(monkeypatch):
    def refused(self, *told):
        raise BadInputError("tiny cannot be cut: why")

    monkeypatch.setattr(TinyBackbone, "boundaries", refused)
    with pytest.raises(ImpossibleError, match="head2toe takes features of all blocks: tiny cannot"):
        bench().set_up(5)
