"""The results of diagnostics, as they are stored in a cell's record. Needs no torch.

Accuracies lie between 0 and 1. "Before" means the backbone as the strategy received it, "after" the
backbone as it was tested. A part that does not apply to the cell is null; `skipped` says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How the training went: losses, and the change of the head."""

    first_loss: Annotated[float | None, "first value of the training curve"] = None
    last_loss: Annotated[float | None, "last value of the training curve"] = None
    head_change: Annotated[float | None, "L2 change of the head's weights over their start's"] = (
        None
    )


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How well labels can be predicted from features: leave-one-out accuracies."""

    n: Annotated[int, "examples"]
    chance: Annotated[float, "share of the most frequent class among them"]
    knn: Annotated[float, "of nearest neighbours by cosine"]
    linear: Annotated[float, "of ridge regression on the classes"]


@dataclass(frozen=True, kw_only=True)
class Features:
    """Probes of the embeddings of labelled training examples."""

    random: Annotated[
        Probe | None,
        "with random weights, BatchNorm by these examples; null where `before` has random weights",
    ] = None
    before: Annotated[Probe | None, "with the weights that the strategy got"] = None
    renormalised: Annotated[
        Probe | None, "before, BatchNorm by these examples instead of its running statistics"
    ] = None
    after: Annotated[Probe | None, "with the weights that were tested"] = None


@dataclass(frozen=True, kw_only=True)
class Head:
    """The trained head, compared with ridge regression on the same final features."""

    on: Annotated[
        Literal["validation", "train"], "examples judged on; `train`: refitted leaving one out"
    ]
    n: Annotated[int, "examples"]
    trained: Annotated[float, "accuracy of the strategy's predictions"]
    refitted: Annotated[float, "accuracy of the refitted head, on examples it was not fitted to"]


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """BatchNorm's running statistics, compared with those of given inputs, channel by channel."""

    layers: Annotated[int, "BatchNorm layers that keep statistics"]
    mean_shift: Annotated[float, "mean distance of means, in running standard deviations"]
    log_variance: Annotated[float, "mean absolute log of variance over running variance"]
    worst_layer: Annotated[str, "layer with the largest sum of both"]
    worst_mean_shift: Annotated[float, "its distance of means"]
    worst_log_variance: Annotated[float, "its log ratio of variances"]


@dataclass(frozen=True, kw_only=True)
class BatchNorm:
    """The mismatch between BatchNorm's running statistics and the target."""

    n: Annotated[int, "target examples; 0 in older records: `examples`"] = 0
    before: Annotated[Statistics | None, "of the weights that the strategy got"] = None
    after: Annotated[Statistics | None, "of the weights that were tested"] = None
    source: Annotated[
        Statistics | None, "before, on the source domain: what a match looks like"
    ] = None


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How far the backbone moved, for each coarse block from input to output."""

    n: Annotated[int, "target examples for similarities; 0 in older records: `examples`"] = 0
    blocks: Annotated[tuple[str, ...], "names of the blocks"] = ()
    weights: Annotated[tuple[float | None, ...], "L2 change of weights over their start's"] = ()
    cka: Annotated[
        tuple[float | None, ...], "similarity of outputs before and after, 1 if unchanged"
    ] = ()
    embedding_cka: Annotated[float | None, "the same of the embeddings"] = None


@dataclass(frozen=True, kw_only=True)
class Priors:
    """Shares of the classes, in the order of `data.classes`."""

    given: Annotated[tuple[float, ...] | None, "among the target labels given"] = None
    predicted: Annotated[tuple[float, ...] | None, "predicted for unlabelled target examples"] = (
        None
    )
    source: Annotated[tuple[float, ...] | None, "in a source domain of the same classes"] = None


@dataclass(frozen=True, kw_only=True)
class Domains:
    """How far apart the source domain and the target are in embedding space."""

    n: Annotated[int, "examples of each"]
    before: Annotated[float, "proxy A-distance, 0 (alike) to 2, of the weights that it got"]
    after: Annotated[float, "the same of the weights that were tested"]
    match_before: Annotated[
        float | None, "labelled target examples whose nearest source class mean is their class's"
    ] = None
    match_after: Annotated[float | None, "the same of the weights that were tested"] = None


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """Probes of the embeddings of the source domain's examples and labels."""

    before: Annotated[Probe | None, "with the weights that the strategy got"] = None
    after: Annotated[Probe | None, "with the weights that were tested"] = None


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """The diagnostics of a cell; nothing is chosen by them."""

    extent: Annotated[
        Literal["none", "short", "full"], "`trainer.diagnostics`; older records: full"
    ] = "full"
    examples: Annotated[int, "examples of each part that were looked at, at most"] = 0
    optimisation: Annotated[Optimisation | None, "how the training went"] = None
    features: Annotated[Features | None, "what embeddings tell of the target's labels"] = None
    head: Annotated[Head | None, "the head against one refitted in closed form"] = None
    batch_norm: Annotated[BatchNorm | None, "running statistics against the target's"] = None
    drift: Annotated[Drift | None, "how far weights and representations moved"] = None
    priors: Annotated[Priors | None, "shares of the classes"] = None
    domains: Annotated[Domains | None, "distance of source domain and target"] = None
    forgetting: Annotated[Forgetting | None, "what is left of the source's task"] = None
    skipped: Annotated[dict[str, str], "parts that are null, and why"] = field(default_factory=dict)
