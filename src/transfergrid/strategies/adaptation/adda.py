"""A second encoder learns to give target inputs features that look like the source's (ADDA)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from transfergrid.sources.backbone import Backbone
from transfergrid.strategies import (
    Batch,
    Count,
    Data,
    Group,
    Needs,
    Objective,
    Part,
    Phase,
    Positive,
    Range,
    Schedule,
    Sizes,
    Strategy,
    StreamName,
    rates,
)
from transfergrid.strategies.adaptation.alignment import ADAPTED
from transfergrid.strategies.adaptation.domain_adversarial import discriminator


def told_apart(source: Tensor, target: Tensor) -> Tensor:
    """Return (-mean log d(source) - mean log(1 - d(target))) / 2, given logits of d."""
    return (softplus(-source).mean() + softplus(target).mean()) / 2


def taken_for_source(target: Tensor) -> Tensor:
    """Return -mean log d(target), the loss with inverted labels, given logits of d."""
    return softplus(-target).mean()


def classes_in(outputs: Tensor) -> Tensor:
    """Return the effective number of predicted classes: exp of the entropy of their shares.

    It is 10 if ten classes are predicted equally often, and 1 if only one is predicted.

    Args:
        outputs: logits, (n, classes).
    """
    shares = outputs.argmax(1).bincount(minlength=outputs.shape[1]) / len(outputs)
    found: Tensor = torch.special.entr(shares).sum().exp()
    return found


class Adda(Strategy):
    """Let a second encoder give target inputs features that a discriminator takes for the source's.

    First, encoder and head learn the source. Then both are frozen, and a copy of the encoder learns
    on target inputs: a discriminator learns which encoder made which features, and the copy learns
    to make features that the discriminator takes for the source's. Labels are inverted: the copy
    descends -log d; the gradient of log(1 - d) is not reversed.

    Nothing ties target examples to classes, so classes may be swapped. The record tells the
    effective number of classes predicted on the unlabelled inputs before and after, whether it
    collapsed to less than half, and the share of inputs whose prediction changed. Where that share
    is large, one of the two models is wrong on it, and only the source's was trained with labels.

    BatchNorm of the source's encoder is frozen. BatchNorm of the copy normalises by target batches
    and records them, once a step: at prediction its statistics are the target's. The
    discriminator's loss is the mean of two halves, each of which is a mean over its domain.

    Formula:
        1: min_(F, C) CE(C(F(x_s)));
        2: min_D -(mean log D(F(x_s)) + mean log(1 - D(G(x_t)))) / 2, min_G -mean log D(G(x_t));
        G starts at F, prediction is C(G(x))
    Try it:
        where the target's style needs a different encoder from the source's; use a small learning
        rate in the second stage, for it easily ends far below `source_only`
    Cost:
        that of full fine-tuning, a part of it on the source; then three forward passes and one
        backward pass a step, and the memory of a second network; nothing at prediction
    Source:
        Tzeng et al. 2017, Adversarial discriminative domain adaptation, CVPR, arXiv 1702.05464,
        equation 9; the discriminator's width is that of section 5.1. The second stage's lower rate
        is recalled from the paper's experiments, not checked

    Args:
        share: share of the steps in which the source model is trained.
        adapt_rate: multiple of the learning rate in the second stage, for copy and discriminator.
        hidden: width of the discriminator's two hidden layers.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs = Needs("start", "unused", 1, "same", unlabelled=True, tasks=("classification",))
    baselines = ADAPTED
    space = {
        "lr_factor": rates(3.0, small_images=0.95, images=0.3, text=0.1),
        "adapt_rate": Range(1e-3, 1.0, default=0.2),
    }
    setting, transfers = "transductive", "features"
    moves_statistics = True
    also_called = ("adversarial_discriminative_domain_adaptation",)
    closed_to = {"weight_averaging": "a mean's statistics are taken of labelled examples alone"}
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        share: Part = 0.5,
        adapt_rate: Positive = 0.2,
        hidden: Count = 500,
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.share, self.adapt_rate, self.hidden = share, adapt_rate, hidden

    def build(self, sizes: Sizes) -> None:
        self.scaffold["source"] = self.copied(self.backbone)
        self.scaffold["discriminator"] = discriminator(self.backbone.dim, self.hidden)
        self.scaffold.register_buffer("said", torch.zeros(sizes.unlabelled, dtype=torch.int64))
        self.scaffold.register_buffer("found", torch.zeros(3))

    def phases(self) -> list[Phase]:
        critic = Group(
            "discriminator", self.scaffold["discriminator"].parameters(), self.adapt_rate
        )
        encoder = self.backbone_group(self.adapt_rate)
        steps = [Objective(self.discriminate, [critic]), Objective(self.loss, [encoder])]
        reads: tuple[StreamName, ...] = ("source", "unlabelled")
        return [
            Phase("source", [Objective(self.on_source, self.everything())], self.share, ["source"]),
            Phase("adapt", steps, 1 - self.share, reads, self.leave_source, cached=False),
            Phase("look", before=self.look, reads=["unlabelled"]),
        ]

    def on_source(self, batch: Batch, progress: float) -> Tensor:
        """Return the loss on the source domain."""
        seen = batch.source[0]
        return self.task.loss(self.predict(seen.inputs), seen.labels)

    def leave_source(self, data: Data) -> None:
        """Store the source's encoder as it is now, and its predictions on the target."""
        self.scaffold["source"].load_state_dict(self.backbone.state_dict())
        assert data.unlabelled is not None
        said = data.unlabelled.outputs()
        self.scaffold.get_buffer("said").copy_(said.argmax(1))
        self.scaffold.get_buffer("found")[0] = classes_in(said)

    def discriminate(self, batch: Batch, progress: float) -> Tensor:
        """Return the discriminator's loss in telling the source's features from the target's."""
        still = self.scaffold["source"]
        assert batch.unlabelled is not None
        assert isinstance(still, Backbone)
        with torch.no_grad():
            source = still.embed(batch.source[0].inputs)
            target = self.features(batch.unlabelled, recorded=False)
        critic = self.scaffold["discriminator"]
        return told_apart(critic(source), critic(target))

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.unlabelled is not None
        return taken_for_source(self.scaffold["discriminator"](self.features(batch.unlabelled)))

    def look(self, data: Data) -> None:
        """Note the final predictions on the target: effective number of classes, share changed."""
        assert data.unlabelled is not None
        said, before = data.unlabelled.outputs(), self.scaffold.get_buffer("said")
        changed = (said.argmax(1) != before).float().mean()
        self.scaffold.get_buffer("found")[1:] = torch.stack([classes_in(said), changed])

    def tells(self) -> dict[str, Any]:
        before, after, changed = self.scaffold.get_buffer("found").tolist()
        return {
            "classes_predicted_before": before,
            "classes_predicted": after,
            "collapsed": after < before / 2,
            "predictions_changed": changed,
        }
