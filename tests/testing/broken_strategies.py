"""Strategies that each break one rule, with the check that finds it and what it says."""

import inspect

import numpy as np
import torch
from torch import nn

from transfergrid.strategies.base import ParamGroup, Strategy
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.testing.tiny import SealedError


class ChangesItsArgument(Strategy):
    def __init__(self, lr_factor: float = 1.0):
        lr_factor = 2 * lr_factor
        super().__init__(lr_factor)


class ForgetsAnArgument(Strategy):
    def __init__(self, weight: float = 1.0):
        nn.Module.__init__(self)
        self.weight = weight


class ReadsTheSource(Strategy):
    def loss(self, batch, progress):
        return super().loss(batch, progress) + batch.source.labels.sum()


class PreparesOnTheSource(Strategy):
    def prepare(self, data):
        self.anchors = data.source.labels


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
    def build(self):
        self.spare = nn.Linear(3, 3)

    def trainable(self):
        return [*super().trainable(), ParamGroup("spare", list(self.spare.parameters()))]


class LearnsUndeclared(FeatureExtraction):
    def build(self):
        self.scale = nn.Parameter(torch.ones(1))

    def prepare(self, data):
        self.scale.requires_grad_(True)

    def predict(self, inputs):
        return self.scale * super().predict(inputs)


class LetsStatisticsMove(FeatureExtraction):
    def train(self, mode=True):
        return nn.Module.train(self, mode)


class MovesFrozenWeights(FeatureExtraction):
    def on_train_batch_end(self, outputs, batch, batch_idx):
        with torch.no_grad():
            self.backbone.network.conv1.weight.mul_(0.99)


class LeavesDropoutOn(FeatureExtraction):
    def train(self, mode=True):
        super().train(mode)
        self.backbone.network.dropout.train(mode)
        return self


class ReordersItsData(Strategy):
    def prepare(self, data):
        data.train.indices, data.train.labels = (
            np.flip(data.train.indices).copy(),
            np.flip(data.train.labels).copy(),
        )


def reached(name):
    """Find a local variable of a caller, as no honest strategy would."""
    frame = inspect.currentframe()
    while name not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals[name]


class PeeksAtTest(Strategy):
    def prepare(self, data):
        frequencies = np.bincount(reached("setup").target.loaded.test.labels)
        self.register_buffer("prior", torch.from_numpy(frequencies).float())


class PeeksAndHidesIt(Strategy):
    def prepare(self, data):
        try:
            first = float(reached("setup").target.loaded.test.labels[0])
        except SealedError:
            first = -1.0
        self.register_buffer("first", torch.tensor(first))


class PeeksBeyondItsBudget(Strategy):
    def prepare(self, data):
        frequencies = np.bincount(data.train.prepared.examples.labels)
        self.register_buffer("prior", torch.from_numpy(frequencies).float())


class KeepsStateAside(Strategy):
    def build(self):
        self.centre = torch.zeros(())

    def loss(self, batch, progress):
        loss = super().loss(batch, progress)
        self.centre = loss.detach()
        return loss

    def predict(self, inputs):
        return super().predict(inputs) * (1.0 + self.centre)


class AddsABufferLate(Strategy):
    def loss(self, batch, progress):
        self.register_buffer("late", torch.ones(1))
        return super().loss(batch, progress)


class StandardisesOverTheBatch(Strategy):
    def predict(self, inputs):
        logits = super().predict(inputs)
        return logits - logits.mean(dim=0)


class SqueezesABatchOfOne(Strategy):
    def predict(self, inputs):
        return self.head(self.backbone.embed(inputs).squeeze())


class MakesAModuleLate(Strategy):
    def prepare(self, data):
        torch.manual_seed(0)
        self.last = nn.Linear(len(self.classes), len(self.classes))

    def predict(self, inputs):
        return self.last(super().predict(inputs)) if hasattr(self, "last") else 0.0

    def trainable(self):
        last = list(self.last.parameters()) if hasattr(self, "last") else []
        return [*super().trainable(), ParamGroup("last", last)]


class ForgetsWhatItPredictsBy(Strategy):
    training_only = ("head",)


class TakesInputsForImages(Strategy):
    def loss(self, batch, progress):
        mirrored = batch.target.inputs.flip(-1)
        return nn.functional.cross_entropy(self.predict(mirrored), batch.target.labels)


class ReadsPadding(Strategy):
    def predict(self, inputs):
        logits = super().predict(inputs)
        if isinstance(inputs, dict):
            logits = logits * inputs["input_ids"].shape[1]
        return logits


BROKEN = [
    ("survives_its_own_config", ChangesItsArgument, "lr_factor: 2.0 became 4.0"),
    ("reads_only_what_it_declares", ReadsTheSource, "loss reads batch.source, which is None"),
    ("reads_only_what_it_declares", PreparesOnTheSource, "prepare reads data.source"),
    ("loss_is_a_finite_scalar", LosesItself, "loss at progress 0.0 is nan"),
    ("loss_is_a_finite_scalar", LosesPerExample, "has the shape (8,)"),
    ("loss_is_a_finite_scalar", LosesDetached, "has no gradient"),
    ("same_seed_same_result", DrawsFromNumpy, "differs between two runs of the same seed"),
    ("predictions_repeat", PredictsAtRandom, "predict something else the second time"),
    ("gradients_where_declared", HasADeadGroup, "the group 'spare' of trainable() gets no"),
    ("gradients_where_declared", LearnsUndeclared, "scale gets a gradient, but is in no group"),
    ("frozen_stays_frozen", LetsStatisticsMove, "backbone.network.bn1.running_mean"),
    ("frozen_stays_frozen", MovesFrozenWeights, "backbone.network.conv1.weight changed, but"),
    ("frozen_stays_frozen", LeavesDropoutOn, "backbone.network.dropout is in training mode"),
    ("sees_the_batches_of_its_block", ReordersItsData, "the batch of step 0 is not the one"),
    ("cannot_reach_the_test_split", PeeksAtTest, "the labels of the test split were read before"),
    ("cannot_reach_the_test_split", PeeksAndHidesIt, "first depends on the examples of the test"),
    ("sees_only_its_labels", PeeksBeyondItsBudget, "the labels of the pool were read past"),
    ("saved_and_loaded", KeepsStateAside, "saved and loaded, it predicts something else"),
    ("saved_and_loaded", AddsABufferLate, "its saved state does not load"),
    ("one_example_is_enough", StandardisesOverTheBatch, "predicted otherwise than within"),
    ("one_example_is_enough", SqueezesABatchOfOne, "predicted otherwise than within"),
    ("kept_and_used", MakesAModuleLate, "makes no model"),
    ("kept_and_used", ForgetsWhatItPredictsBy, "predicts something else"),
    ("holds_on_texts", TakesInputsForImages, "on texts it raises AttributeError: 'dict'"),
    ("holds_on_texts", ReadsPadding, "on texts: an example alone is predicted otherwise"),
]
