"""Strategies that do unusual things and keep every rule: none of them may be refused."""

import copy
from dataclasses import replace
from typing import ClassVar

import torch
from torch import nn

from transfergrid.data.views import take
from transfergrid.records.errors import BadInputError
from transfergrid.records.needs import Needs
from transfergrid.records.space import Range, Space
from transfergrid.records.training import SCHEDULES
from transfergrid.strategies import evaluating, teaching
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.phases import Group, Objective, Phase


class MeanTeacher(Strategy):
    """A mean of the weights so far, written in the loss, teaches on two views; a bank of features.

    It weighs by pseudo labels that are made anew every so often.
    """

    needs: ClassVar[Needs] = Needs(unlabelled=True)
    space: ClassVar[Space] = {"rate": Range(0.5, 0.999, log=False, default=0.9)}

    def __init__(self, rate: float = 0.9, **shared):
        super().__init__(**shared)
        self.rate = rate

    def build(self, sizes):
        self.scaffold["mean"] = self.copied(self.backbone)
        self.register_buffer("bank", torch.zeros(sizes.target, self.backbone.dim))
        self.scaffold.register_buffer("sure", torch.zeros(sizes.unlabelled))

    def phases(self):
        learns = Objective(self.loss, self.everything())
        reads = ["target", "views"]
        return [Phase("train", [learns], reads=reads, before=self.weigh, every=0.3, cached=False)]

    def weigh(self, data):
        said = self.task.decode(data.unlabelled.outputs())
        self.scaffold.get_buffer("sure").copy_(said.amax(dim=1).sigmoid())

    def loss(self, batch, progress):
        mean, (weak, strong) = self.scaffold["mean"], batch.views
        with torch.no_grad():
            for old, new in zip(mean.parameters(), self.backbone.parameters(), strict=True):
                old.lerp_(new, 1 - self.rate)
            taught = mean.embed(weak)
            self.bank[batch.target.rows] = self.features(batch.target.inputs, recorded=False)
        apart = (self.features(strong, recorded=False) - taught).square().mean(dim=1)
        weights = self.scaffold.get_buffer("sure")[batch.rows]
        return super().loss(batch, progress) + (weights * apart).mean()


class AveragedAlternation(Strategy):
    """Probe, then head and backbone in turn, then half the way back to the start; `prepare` is its
    own method, which it names itself.
    """

    def build(self, sizes):
        self.scaffold["start"] = self.copied(self.backbone)

    def phases(self):
        head, backbone = [self.head_group()], [self.backbone_group(0.1)]
        turns = [Objective(self.loss, head), Objective(self.loss, backbone, repeat=2)]
        return [
            Phase("probe", [Objective(self.loss, head)], 0.25, until=self.is_low, lr_factor=0.5),
            Phase("turns", turns, 0.75, schedule=lambda step, steps: 1 - step / steps),
            Phase("average", before=self.prepare),
        ]

    def is_low(self, losses):
        return bool(losses[-1] < 0.01)

    def prepare(self, data):
        start = self.scaffold["start"].parameters()
        for now, then in zip(self.backbone.parameters(), start, strict=True):
            now.lerp_(then, 0.5)


class GrowsFromZero(Strategy):
    """A product of two factors, one zero at first, is added to what the source's own head says."""

    needs: ClassVar[Needs] = Needs(source="head", classes="same")
    transfers = "features"

    def build(self, sizes):
        self.narrow = nn.Parameter(torch.randn(self.backbone.dim, 2) / 4)
        self.wide = nn.Parameter(torch.zeros(2, self.task.outputs))

    def phases(self):
        adapter = Group("adapter", (self.narrow, self.wide), decay=False)
        part = [Objective(self.loss, [adapter])]
        first, second = Phase("first", part, 0.5), Phase("second", part, 0.5, carries_on=True)
        return [first, replace(second, schedule="constant")]

    def loss(self, batch, progress):
        seen = batch.target
        features = self.features(seen.inputs)
        return self.task.loss(self._said(features + 0.1 * torch.randn_like(features)), seen.labels)

    def predict(self, inputs):
        return self._said(self.features(inputs))

    def _said(self, features):
        first = self.source_head(features) if hasattr(self, "source_head") else self.head(features)
        return first + features @ self.narrow @ self.wide


class Episodic(Strategy):
    """Learns to compare on tasks drawn from the source, then solves for a head on the target."""

    needs: ClassVar[Needs] = Needs(source="start", domains=1, tasks=("classification",))

    def phases(self):
        learns = Objective(self.compare, [self.backbone_group()])
        schedule = lambda step, steps: SCHEDULES["cosine"](step / steps)  # noqa: E731
        return [
            Phase("episodes", [learns], reads=["episode"], episode=(2, 2, 3), schedule=schedule),
            Phase("solve", before=self.solve),
        ]

    def compare(self, batch, progress):
        support, query = batch.episode
        both = self.features(support.inputs), self.features(query.inputs)
        means = torch.stack([both[0][support.labels == k].mean(0) for k in support.labels.unique()])
        return nn.functional.cross_entropy(-torch.cdist(both[1], means), query.labels)

    def solve(self, data):
        features, labels = data.target.features(), data.target.labels
        few = self.features(take(data.target.inputs(), torch.arange(4)))
        assert few.shape[1] == features.shape[1]
        means = [features[labels == k].mean(0) for k in range(self.task.outputs)]
        self.head.weight.copy_(2 * torch.stack(means))
        self.head.bias.copy_(-torch.stack(means).square().sum(1))


class NormsAlone(Strategy):
    """BatchNorm learns alone, by a loss that takes a gradient itself; without any it says so."""

    def build(self, sizes):
        norms = [m for m in self.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
        if not norms:
            raise BadInputError("norms_alone: the backbone has no BatchNorm")
        self.names = [n for n, m in self.backbone.named_modules() if m in norms]

    def phases(self):
        norms = [self.backbone.get_submodule(name) for name in self.names]
        group = Group("norms", (p for norm in norms for p in norm.parameters()))
        return [Phase("adapt", [Objective(self.loss, [group, self.head_group()])])]

    def loss(self, batch, progress):
        features = self.features(batch.target.inputs)
        plain = self.task.loss(self.head(features), batch.target.labels)
        (slope,) = torch.autograd.grad(plain, features, create_graph=True)
        return plain + slope.square().sum(1).mean()


class LeastSquares(Strategy):
    """A closed form of whatever labels there are: numbers as they come, classes one-hot."""

    needs: ClassVar[Needs] = Needs(steps=False)

    def __init__(self):
        super().__init__()

    def phases(self):
        return [Phase("solve", before=self.solve)]

    def solve(self, data):
        features, labels = data.target.features(), data.target.labels
        if not labels.is_floating_point():
            labels = nn.functional.one_hot(labels, self.task.outputs)
        wanted = labels.reshape(len(labels), -1).to(features)
        weight = torch.linalg.lstsq(features, wanted, driver="gelsd").solution
        self.task.fill(self.head, weight.T, wanted.new_zeros(wanted.shape[1]))


class BornAgain(Strategy):
    """Its teacher is made of its own start; a mean of its weights, of each step, is what stays."""

    def build(self, sizes):
        teacher, own = FullFinetuning(), copy.deepcopy(self.backbone)
        teacher.attach(own, self.task, self.training_plan, self.block_seed, sizes=sizes)
        self.scaffold["teacher"], self.scaffold["mean"] = teacher, self.copied(self.backbone)

    def phases(self):
        each = 1 / self.training_plan.steps
        learns = [Objective(self.loss, self.everything())]
        learn = Phase("learn", learns, before=self.note, every=each, cached=False)
        return [*teaching(self.scaffold["teacher"]), learn, Phase("swap", before=self.swap)]

    def note(self, data):
        weights = zip(self.scaffold["mean"].parameters(), self.backbone.parameters(), strict=True)
        for mean, own in weights:
            mean.lerp_(own, 0.1)

    def swap(self, data):
        self.backbone.load_state_dict(self.scaffold["mean"].state_dict())

    def loss(self, batch, progress):
        said = self.predict(batch.target.inputs)
        with torch.no_grad(), evaluating(self):
            taught = self.scaffold["teacher"].predict(batch.target.inputs)
        return self.task.loss(said, batch.target.labels) + (said - taught).square().mean()


class TellsByDescriptions(Strategy):
    """A linear map of features onto descriptions of the classes, which it keeps to predict."""

    needs: ClassVar[Needs] = Needs(classes="described", tasks=("classification",))

    def build(self, sizes):
        self.map = nn.Parameter(0.1 * torch.randn(self.backbone.dim, sizes.attributes))
        self.register_buffer("told", torch.zeros(self.task.outputs, sizes.attributes))

    def phases(self):
        learns = [self.backbone_group(), Group("map", [self.map])]
        whole = [Objective(self.loss, learns)]
        return [Phase("train", whole, reads=["target", "attributes"], before=self.note)]

    def note(self, data):
        self.told.copy_(data.attributes)

    def predict(self, inputs):
        return self.features(inputs) @ self.map @ self.told.T


SOUND = (
    TellsByDescriptions,
    MeanTeacher,
    AveragedAlternation,
    GrowsFromZero,
    Episodic,
    NormsAlone,
    LeastSquares,
    BornAgain,
)
