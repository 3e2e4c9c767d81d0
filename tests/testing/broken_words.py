"""Strategies that say or hold what they must not, with the check that finds it and what it says."""

from dataclasses import replace
from typing import ClassVar

import torch
from broken_strategies import Prepares
from torch import nn

from transfergrid.records.needs import Needs
from transfergrid.records.space import Range, Space
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Group, Objective, Phase


class HasASpace(Strategy):
    space: ClassVar[Space] = {"weight": Range(0.1, 1.0, default=0.5)}

    def __init__(self, weight: float = 0.25):
        super().__init__()
        self.weight = weight


class SearchesElsewhere(Strategy):
    space: ClassVar[Space] = {"lr_factor": Range(0.1, 1.0, default=0.5, under={"text": 3.0})}


class SearchesForNothing(Strategy):
    space: ClassVar[Space] = {"wieght": Range(0.1, 1.0, default=0.5)}


class HasAHook(Strategy):
    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.steps = batch_idx


class IsOfOldTimes(Strategy):
    def prepare(self, data):
        self.centre = data.target.features().mean()


class CountsItsPhases(Strategy):
    def phases(self):
        self.asked = getattr(self, "asked", 0) + 1
        return [replace(phase, name=f"phase {self.asked}") for phase in super().phases()]


class DividesByItsWeights(Strategy):
    def phases(self):
        share = float(self.head.weight.detach().abs().max().clamp(0.1, 0.9))
        part = [Objective(self.loss, self.everything())]
        return [Phase("first", part, share), Phase("second", part, 1 - share)]


class StopsHalfway(Strategy):
    def phases(self):
        return [replace(phase, share=0.5) for phase in super().phases()]


class SaysItHasSteps(Strategy):
    def phases(self):
        return [Phase("solve", before=lambda data: None)]


class HasTwoRates(Strategy):
    def everything(self):
        bias = Group("bias", (self.head.bias,), 2.0)
        return [*super().everything(), bias]


class HasOneNameTwice(Strategy):
    def everything(self):
        parts = [Group("head", (p,)) for p in self.head.parameters()]
        return [self.backbone_group(), *parts]


class TrainsWhatItHidesInAList(Strategy):
    def build(self, sizes):
        self.more = [nn.Linear(self.backbone.dim, self.task.outputs)]

    def everything(self):
        return [*super().everything(), Group("more", tuple(self.more[0].parameters()))]

    def predict(self, inputs):
        return super().predict(inputs) + self.more[0](self.features(inputs))


class ReadsWithoutNeed(Strategy):
    def phases(self):
        return [replace(phase, reads=["target", "source"]) for phase in super().phases()]


class NeedsWithoutReading(Strategy):
    needs: ClassVar[Needs] = Needs(unlabelled=True)


class KeepsItsStartInADict(Strategy):
    def build(self, sizes):
        self.start = {n: p.detach().clone() for n, p in self.backbone.named_parameters()}

    def loss(self, batch, progress):
        named = self.backbone.named_parameters()
        away = sum((p - self.start[n]).square().sum() for n, p in named)
        return super().loss(batch, progress) + 0.01 * away


class KeepsANetworkInATuple(Strategy):
    def build(self, sizes):
        self.start = (self.copied(self.backbone),)


class KeepsAMeanAside(Prepares):
    def prepares(self, data):
        self.centre = data.target.features().mean(dim=0)

    def loss(self, batch, progress):
        features = self.features(batch.target.inputs)
        return super().loss(batch, progress) + 0.01 * (features - self.centre).square().mean()


class AddsABufferLate(Strategy):
    def loss(self, batch, progress):
        self.register_buffer("late", torch.ones(1))
        return super().loss(batch, progress)


class MakesAModuleLate(Prepares):
    def prepares(self, data):
        self.scaffold["late"] = nn.Linear(3, 3)


class PutsANewHeadInPlace(Prepares):
    def prepares(self, data):
        self.head = self.task.head(self.backbone.dim)


BROKEN = [
    ("space_fits_the_constructor", HasASpace, "0.25 by the constructor and 0.5 by the space"),
    ("space_fits_the_constructor", SearchesElsewhere, "its defaults are [0.5, 3.0]"),
    ("space_fits_the_constructor", SearchesForNothing, "space has wieght, which the constructor"),
    ("defines_nothing_that_nobody_calls", HasAHook, "HasAHook defines on_train_batch_end"),
    ("defines_nothing_that_nobody_calls", IsOfOldTimes, "IsOfOldTimes defines prepare, which"),
    ("phases_answer_alike", CountsItsPhases, "(phase 2 became phase 3)"),
    ("phases_answer_alike", DividesByItsWeights, "when it is asked again (0."),
    ("shares_make_one", StopsHalfway, "the shares of its phases make 0.5, not 1"),
    ("shares_make_one", SaysItHasSteps, "needs say steps=True, and 0 of its phases"),
    ("groups_are_its_own", HasTwoRates, "head.bias is in two groups of phase 'train'"),
    ("groups_are_its_own", HasOneNameTwice, "two groups of phase 'train' are called 'head'"),
    ("groups_are_its_own", TrainsWhatItHidesInAList, "has 2 parameters that are not"),
    ("phases_read_what_needs_grant", ReadsWithoutNeed, "reads source, which needs do not grant"),
    ("phases_read_what_needs_grant", NeedsWithoutReading, "needs grant unlabelled, views, and no"),
    ("everything_is_in_its_state", KeepsItsStartInADict, "start['network.bn1.bias']"),
    ("everything_is_in_its_state", KeepsANetworkInATuple, "start[0] holds tensors that are in no"),
    ("everything_is_in_its_state", KeepsAMeanAside, "centre holds tensors that are in no state"),
    ("made_in_build", AddsABufferLate, "late is not the one by name and shape"),
    ("made_in_build", MakesAModuleLate, "scaffold.late.weight, scaffold.late.bias is not the one"),
    ("made_in_build", PutsANewHeadInPlace, "head.weight, head.bias was put in the place"),
]
