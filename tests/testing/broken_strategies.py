"""Strategies that each break one rule, with the check that finds it and what it says."""

import inspect
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from transfergrid.strategies import Needs, evaluating
from transfergrid.strategies.adaptation.domain_adversarial import DomainAdversarial
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.phases import Group, Objective, Phase
from transfergrid.testing.tiny import SealedError


class ChangesItsArgument(Strategy):
    def __init__(self, lr_factor: float = 1.0):
        lr_factor = 2 * lr_factor
        super().__init__(lr_factor)


class ForgetsAnArgument(Strategy):
    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = self.hparams.pop("weight")


class Prepares(Strategy):
    """Conforms: computes something ahead of its first step."""

    def phases(self):
        return [Phase("train", [Objective(self.loss, self.everything())], before=self.prepares)]

    def prepares(self, data):
        """Compute nothing."""


class ReadsTheSource(Strategy):
    def loss(self, batch, progress):
        return super().loss(batch, progress) + batch.source[0].labels.sum()


class PreparesOnTheSource(Prepares):
    def prepares(self, data):
        self.anchors = data.source[0].labels


class LosesItself(Strategy):
    def loss(self, batch, progress):
        return super().loss(batch, progress) + torch.log(torch.tensor(progress - 1.0))


class LosesPerExample(Strategy):
    def loss(self, batch, progress):
        logits = self.predict(batch.target.inputs)
        return nn.functional.cross_entropy(logits, batch.target.labels, reduction="none")


class LosesDetached(Strategy):
    def loss(self, batch, progress):
        return super().loss(batch, progress).detach()


class DrawsFromNumpy(Strategy):
    def loss(self, batch, progress):
        return super().loss(batch, progress) * float(np.random.random())


class PredictsAtRandom(Strategy):
    def predict(self, inputs):
        logits = super().predict(inputs)
        return logits + torch.rand_like(logits)


class HasADeadGroup(Strategy):
    def build(self, sizes):
        self.spare = nn.Linear(3, 3)

    def everything(self):
        return [*super().everything(), Group("spare", tuple(self.spare.parameters()))]


class LearnsUndeclared(FeatureExtraction):
    def build(self, sizes):
        self.scale = nn.Parameter(torch.ones(1))

    def phases(self):
        return [replace(phase, before=self.let_learn) for phase in super().phases()]

    def let_learn(self, data):
        self.scale.requires_grad_(True)

    def predict(self, inputs):
        return self.scale * super().predict(inputs)


class LetsStatisticsMove(FeatureExtraction):
    def train(self, mode=True):
        return nn.Module.train(self, mode)


class MovesFrozenWeights(FeatureExtraction):
    def loss(self, batch, progress):
        with torch.no_grad():
            self.backbone.network.dense.weight.mul_(0.99)
        return super().loss(batch, progress)


class LeavesDropoutOn(FeatureExtraction):
    def train(self, mode=True):
        super().train(mode)
        self.backbone.network.dropout.train(mode)
        return self


class ReordersItsData(Prepares):
    def prepares(self, data):
        view = data.target.view
        view.indices, view.labels = np.flip(view.indices).copy(), np.flip(view.labels).copy()


def reached(name):
    """Find a local variable of a caller, as no honest strategy would."""
    frame = inspect.currentframe()
    while name not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals[name]


class HasAPrior(Prepares):
    def build(self, sizes):
        self.register_buffer("prior", torch.zeros(3))


class PeeksAtTest(HasAPrior):
    def prepares(self, data):
        frequencies = np.bincount(reached("setup").target.loaded.test.labels)
        self.prior.copy_(torch.from_numpy(frequencies))


class PeeksAndHidesIt(HasAPrior):
    def prepares(self, data):
        try:
            first = float(reached("setup").target.loaded.test.labels[0])
        except SealedError:
            first = -1.0
        self.prior.fill_(first)


class PeeksBeyondItsBudget(HasAPrior):
    def prepares(self, data):
        frequencies = np.bincount(data.target.view.prepared.examples.labels)
        self.prior.copy_(torch.from_numpy(frequencies))


class KeepsANumberAside(Strategy):
    def build(self, sizes):
        self.centre = 0.0

    def loss(self, batch, progress):
        loss = super().loss(batch, progress)
        self.centre = loss.item()
        return loss

    def predict(self, inputs):
        return super().predict(inputs) * (1.0 + self.centre)


class StandardisesOverTheBatch(Strategy):
    def predict(self, inputs):
        logits = super().predict(inputs)
        return logits - logits.mean(dim=0)


class SqueezesABatchOfOne(Strategy):
    def predict(self, inputs):
        return self.head(self.backbone.embed(inputs).squeeze())


class ForgetsWhatItPredictsBy(Strategy):
    def build(self, sizes):
        self.scaffold["last"] = nn.Linear(self.task.outputs, self.task.outputs)

    def everything(self):
        return [*super().everything(), Group("last", tuple(self.scaffold.parameters()))]

    def predict(self, inputs):
        return self.scaffold["last"](super().predict(inputs))


class TakesInputsForImages(Strategy):
    def loss(self, batch, progress):
        mirrored = batch.target.inputs.flip(-1)
        return self.task.loss(self.predict(mirrored), batch.target.labels)


class TakesWhatIsNoTextForImages(Strategy):
    def loss(self, batch, progress):
        inputs = batch.target.inputs
        mirrored = inputs if isinstance(inputs, dict) else inputs.flip(3)
        return self.task.loss(self.predict(mirrored), batch.target.labels)


class TakesLabelsForClasses(Strategy):
    def loss(self, batch, progress):
        logits = self.predict(batch.target.inputs)
        return nn.functional.cross_entropy(logits, batch.target.labels)


class ReadsPadding(Strategy):
    def predict(self, inputs):
        logits = super().predict(inputs)
        if isinstance(inputs, dict):
            logits = logits * inputs["input_ids"].shape[1]
        return logits


class LooksForPlaces(Strategy):
    def loss(self, batch, progress):
        inside = self.backbone.boundaries(batch.labelled().inputs)[0][0]
        return super().loss(batch, progress) + 0 * inside.flatten(2).mean()


class ShortensGradients(Strategy):
    def phases(self):
        return [replace(phase, combine=lambda found: found[0][:-1]) for phase in super().phases()]


class TurnsGradients(Strategy):
    def phases(self):
        def turned(gradients):
            return [part.mT if part.ndim == 2 else part for part in gradients[0]]

        return [replace(phase, combine=turned) for phase in super().phases()]


class CountsItsSteps(Strategy):
    def build(self, sizes):
        self.steps = 0

    def loss(self, batch, progress):
        self.steps += 1
        return super().loss(batch, progress) * (1 + 0.1 * self.steps)


class SaysItIsPure(CountsItsSteps):
    stackable = True


class WritesPastItsTensors(Strategy):
    stackable = True

    def build(self, sizes):
        self.register_buffer("seen", torch.zeros(()))
        self.own = (self.seen,)

    def loss(self, batch, progress):
        self.own[0].add_(1)
        return super().loss(batch, progress)


class AsksForAValue(Strategy):
    stackable = True

    def loss(self, batch, progress):
        loss = super().loss(batch, progress)
        return 2 * loss if loss.item() > 1 else loss


class HasASecondNetwork(FeatureExtraction):
    def build(self, sizes):
        self.scaffold["start"] = self.copied(self.backbone)

    def loss(self, batch, progress):
        with torch.no_grad():
            first = self.scaffold["start"].embed(batch.target.inputs)
        return super().loss(batch, progress) + 0.1 * self.head(first).square().mean()


class PredictsPastTheCut(FeatureExtraction):
    def loss(self, batch, progress):
        seen = batch.labelled()
        return self.task.loss(self.head(self.features(seen.inputs)), seen.labels)

    def predict(self, inputs):
        return self.head(self.backbone.embed(inputs))


class RecordsUnlabelled(DomainAdversarial):
    def features(self, inputs, recorded=True):
        return super().features(inputs)


class CallsBackward(Strategy):
    def loss(self, batch, progress):
        with torch.enable_grad():
            super().loss(batch, progress).backward()
        return super().loss(batch, progress)


class CountsOnWholeBatches(Strategy):
    def loss(self, batch, progress):
        size = min(self.training_plan.batch_size, 24)
        outputs = self.predict(batch.target.inputs).view(size, -1)
        return self.task.loss(outputs, batch.target.labels)


class SumsItsLosses(Strategy):
    def loss(self, batch, progress):
        return len(batch.target.labels) * super().loss(batch, progress)


class KeepsAnArrayAside(Prepares):
    def prepares(self, data):
        self.centre = data.target.features().mean(dim=0).numpy()

    def loss(self, batch, progress):
        features = self.features(batch.target.inputs)
        away = features - torch.from_numpy(self.centre).to(features)
        return super().loss(batch, progress) + 0.01 * away.square().mean()


class CountsWhatItRelabels(Strategy):
    """Its `before` runs again and again, and weighs by how often it did in this process."""

    def build(self, sizes):
        self.register_buffer("weight", torch.ones(()))
        self.times = 0

    def phases(self):
        whole = [Objective(self.loss, self.everything())]
        return [Phase("train", whole, before=self.relabel, every=0.25)]

    def relabel(self, data):
        self.times += 1
        self.weight.fill_(1 / self.times)

    def loss(self, batch, progress):
        return self.weight * super().loss(batch, progress)


class KeepsItInItsClass(Prepares):
    kept: ClassVar[dict[str, torch.Tensor]] = {}

    def prepares(self, data):
        self.kept["centre"] = data.target.features().mean(dim=0)

    def loss(self, batch, progress):
        away = self.features(batch.target.inputs) - self.kept["centre"]
        return super().loss(batch, progress) + 0.01 * away.square().mean()


class KeepsItInAFunction(Strategy):
    """Its start is in what `phases` returns: not lost where a cell goes on, but on a GPU."""

    def phases(self):
        start = [p.detach().clone() for p in self.backbone.parameters()]
        pulled = partial(self.pulled, start)
        return [Phase("train", [Objective(pulled, self.everything())])]

    def pulled(self, start, batch, progress):
        way = zip(self.backbone.parameters(), start, strict=True)
        return self.loss(batch, progress) + sum((w - s).square().sum() for w, s in way)


class KeepsItOnItsBackbone(Strategy):
    def build(self, sizes):
        self.backbone.start = {n: p.detach().clone() for n, p in self.backbone.named_parameters()}

    def loss(self, batch, progress):
        way = [p - self.backbone.start[n] for n, p in self.backbone.named_parameters()]
        return super().loss(batch, progress) + sum(part.square().sum() for part in way)


class WeighsOnTheCPU(Strategy):
    def loss(self, batch, progress):
        weights = torch.linspace(0.5, 1.5, self.task.outputs)
        outputs = self.predict(batch.target.inputs) * weights
        return self.task.loss(outputs, batch.target.labels)


class RecordsUnlabelledBefore(DomainAdversarial):
    def phases(self):
        return [replace(phase, before=self.look) for phase in super().phases()]

    def look(self, data):
        with evaluating(self.backbone, training=True):
            self.backbone.embed(data.unlabelled.inputs())


class TakesTheSourcesTaskForItsOwn(Strategy):
    needs = Needs(source="start", domains=1)

    def phases(self):
        whole = [Objective(self.loss, self.everything())]
        return [Phase("train", whole, reads=["source", "target"])]


class TakesWeightsForMatricesOrFilters(Strategy):
    """A penalty on the filters of each layer: the tokens' positions are neither."""

    def loss(self, batch, progress):
        norms = [self.of_filters(weight).sum() for weight in self.backbone.parameters()]
        return super().loss(batch, progress) + 1e-3 * sum(norms)

    def of_filters(self, weight):
        around = {1: (), 2: (1,), 4: (1, 2, 3)}[weight.ndim]
        return weight.square().sum(around) if around else weight.square()


BROKEN = [
    ("goes_where_it_is_put", KeepsItInItsClass, "takes a tensor that stays behind"),
    ("goes_where_it_is_put", KeepsItInAFunction, "takes a tensor that stays behind"),
    ("goes_where_it_is_put", KeepsItOnItsBackbone, "takes a tensor that stays behind"),
    ("goes_where_it_is_put", WeighsOnTheCPU, "a loss of phase 'train' takes a tensor"),
    (
        "unlabelled_moves_no_statistics",
        RecordsUnlabelledBefore,
        "depends on the unlabelled inputs of before of phase 'adapt'",
    ),
    ("survives_its_own_config", ChangesItsArgument, "lr_factor: 2.0 became 4.0"),
    ("reads_only_what_it_declares", ReadsTheSource, "reads batch.source, which is absent"),
    ("reads_only_what_it_declares", PreparesOnTheSource, "reads data.source, which is absent"),
    ("loss_is_a_finite_scalar", LosesItself, "at progress 0.00 is nan"),
    ("loss_is_a_finite_scalar", LosesPerExample, "has the shape (8,)"),
    ("loss_is_a_finite_scalar", LosesDetached, "has no gradient"),
    ("same_seed_same_result", DrawsFromNumpy, "differs between two runs of the same seed"),
    ("predictions_repeat", PredictsAtRandom, "predict something else the second time"),
    (
        "gradients_where_declared",
        HasADeadGroup,
        "group 'spare' of objective 1 of phase 'train' gets no",
    ),
    (
        "gradients_where_declared",
        LearnsUndeclared,
        "scale asks for a gradient in phase 'probe'",
    ),
    ("frozen_stays_frozen", LetsStatisticsMove, "backbone.network.bn1.running_mean"),
    (
        "frozen_stays_frozen",
        MovesFrozenWeights,
        "network.dense.weight (in phase 'probe')",
    ),
    ("frozen_stays_frozen", LeavesDropoutOn, "backbone.network.dropout is in training mode"),
    ("sees_the_batches_of_its_block", ReordersItsData, "batch 1 of phase 'train' is not the one"),
    ("cannot_reach_the_test_split", PeeksAtTest, "the labels of the test split were read before"),
    ("cannot_reach_the_test_split", PeeksAndHidesIt, "prior depends on the examples of the test"),
    ("sees_only_its_labels", PeeksBeyondItsBudget, "the labels of the pool were read past"),
    ("saved_and_loaded", KeepsANumberAside, "saved and loaded, it predicts something else"),
    ("one_example_is_enough", StandardisesOverTheBatch, "predicted otherwise than within"),
    ("one_example_is_enough", SqueezesABatchOfOne, "predicted otherwise than within"),
    ("combine_keeps_shapes", ShortensGradients, "makes 9 gradients of 10"),
    ("combine_keeps_shapes", TurnsGradients, "some of another shape"),
    ("unlabelled_moves_no_statistics", RecordsUnlabelled, "depends on the unlabelled inputs"),
    ("stackable_loss_is_pure", SaysItIsPure, "another one when it is asked again"),
    ("stackable_loss_is_pure", WritesPastItsTensors, "writes strategy.seen past the tensors"),
    ("stackable_loss_is_pure", AsksForAValue, "of two networks side by side raises RuntimeError"),
    ("cut_and_resumed", CountsItsSteps, "where the cell is cut after step 1"),
    ("still_blocks_run_ahead", HasASecondNetwork, "with its frozen blocks run ahead it raises"),
    ("still_blocks_run_ahead", PredictsPastTheCut, "with its frozen blocks run ahead it raises"),
    ("kept_and_used", ForgetsWhatItPredictsBy, "predicts something else"),
    ("gradients_where_declared", CallsBackward, "leaves gradients behind, of backbone"),
    ("learns_in_parts", CountsOnWholeBatches, "in two parts it raises"),
    ("learns_in_parts", SumsItsLosses, "half as large for half as many examples: it is their sum"),
    ("cut_and_resumed", KeepsAnArrayAside, "it raises AttributeError where the cell is cut after"),
    ("cut_and_resumed", CountsWhatItRelabels, "where the cell is cut after step 1"),
    ("holds_on_numbers", TakesLabelsForClasses, "with numbers for labels it raises"),
    (
        "holds_on_tokens",
        TakesWeightsForMatricesOrFilters,
        "on a vision transformer it raises KeyError: 3",
    ),
    ("holds_on_texts", TakesInputsForImages, "on texts it raises AttributeError: 'dict'"),
    ("holds_on_vectors", LooksForPlaces, "on vectors it raises IndexError"),
    ("holds_on_texts", ReadsPadding, "on texts: an example alone is predicted otherwise"),
    ("holds_on_vectors", TakesWhatIsNoTextForImages, "on vectors it raises IndexError: Dimension"),
]
