"""Causes in the training, the network or its head. Each is judged independently.

A function returns None if the record cannot tell, or the cause is impossible. Accuracies "above
chance" are rescaled so that chance is 0 and perfect is 1; so the number of classes does not matter.
"""

from __future__ import annotations

import math

from transfergrid.evidence.autopsy.case import (
    MOVED,
    Case,
    Cause,
    Remedy,
    above_chance,
    accuracy,
    binomial_se,
    chance,
    percent,
    ramp,
)
from transfergrid.records.findings import Probe

FITTED, UNFITTED = 0.8, 0.3
"""Training accuracy above chance. Networks in a grid have enough parameters to fit every given
label, so less than 0.8 is a sign of failed optimisation and 0.3 is proof; the flag `underfit` uses
0.5."""
HEAD_GAP, HEAD_BROKEN = 0.03, 0.20
"""Accuracy gained by a head fitted in closed form on the same features, beyond one standard error.
Three points are the usual difference between two ways to fit a linear head; twenty are not."""
UNINFORMATIVE = 0.10
"""Accuracy above chance of the better probe at which features count as useless."""
INFORMATIVE = 0.40
"""Accuracy above chance of the better probe at which features are no obstacle to a few hundred
steps of training."""
CEILING = (0.01, 0.06)
"""Range of how far the best probe of frozen features is below the baseline's test accuracy: from
the usual margin of practical relevance to six times that."""
PERFECT, GOOD = 0.95, 0.75
"""Accuracy above chance of a probe on features that are no obstacle at all, and on features that
are good but not perfect."""
SHIFT_LOW, SHIFT_HIGH = 0.3, 1.0
"""Distance of the means in running standard deviations, averaged over channels. Domains that
BatchNorm handles well stay under 0.3 in the digits study; at 1.0 most inputs lie on one side of the
nonlinearity's bend."""
VARIANCE_LOW, VARIANCE_HIGH = 0.5, 1.5
"""Absolute log ratio of variances: a factor of 1.6, and a factor of 4.5."""
COLLAPSE_LOW, COLLAPSE_HIGH = 0.5, 0.1
"""Unbiased linear CKA of the embeddings before and after: below 0.5 more is new than old; 0.1 is
what two unrelated networks share."""
REMADE_LOW, REMADE_HIGH = 0.5, 1.5
"""Largest relative change of a block's weights: at 1 the change is as large as the weights'
norm."""
DAMAGE_LOW, DAMAGE_HIGH = 0.02, 0.15
"""Accuracy lost beyond two standard errors."""
GAP_LOW, GAP_HIGH = 0.03, 0.20
"""By how much the gap between training and test accuracy exceeds the baseline's."""
MOST_OF_A_GAP = 0.6
"""Overfitting describes a loss rather than explains it, so its strength is limited and every better
cause ranks first."""


def optimisation(case: Case) -> Cause | None:
    """Judge whether the cell failed to fit its own training examples.

    A frozen backbone cannot learn, so it is judged by the causes of features and head instead. If
    weights moved by more than half their own size, the learning rate was too high, and the strength
    is reduced because that is another cause.
    """
    fit, floor = accuracy(case.cell, "train"), chance(case.cell)
    if fit is None or floor is None or not case.cell.budget.steps:
        return None
    strength = ramp(above_chance(fit, floor), FITTED, UNFITTED)
    if case.is_frozen:
        strength = 0.0
    told = f"accuracy on its own training examples {percent(fit)} (chance {percent(floor)}"
    told += f", baseline {percent(base)})" if (base := _fit(case)) is not None else ")"
    change, found = case.change, case.found.optimisation
    if change is not None and change > REMADE_LOW:
        strength *= 0.6
    if found and found.first_loss is not None and found.last_loss is not None:
        told += f"; loss {found.first_loss:.3g} at first, {found.last_loss:.3g} at last"
    if change is not None:
        told += f"; no block's weights moved by more than {_size(change)}"
    return Cause("optimisation", strength, told, _faster(case, change))


def _fit(case: Case) -> float | None:
    return accuracy(case.baseline, "train")


def _size(change: float) -> str:
    return "0.1 %" if change < 0.001 else f"{100 * change:,.1f} %"


def _faster(case: Case, change: float | None) -> Remedy:
    if change is not None and change > REMADE_LOW:
        why = "a tenth of strategy.lr_factor: the weights were driven apart, not fitted"
        return Remedy(case.strategy, why)
    if change is not None and change < MOVED:
        return Remedy(case.strategy, "ten times strategy.lr_factor: the weights stood still")
    return Remedy(case.strategy, "twice the training.steps or three times strategy.lr_factor")


def features(case: Case) -> Cause | None:
    """Judge whether the source's features are no more informative than random ones, or not enough.

    Frozen features limit any head on top of them. In a backbone that learns, poor features are only
    a bad start: the strength is halved, and counts only if there is a loss.
    """
    found = case.found.features
    if found is None or found.before is None or not case.starts_from_source:
        return None
    here, floor, n = best(found.before), found.before.chance, found.before.n
    strength = ramp(above_chance(here, floor), INFORMATIVE, UNINFORMATIVE)
    told = f"probes of the source's untouched features reach {percent(here)} (chance "
    told += percent(floor)
    if found.random is not None:
        strength = max(strength, _no_better(found.before, found.random) * case.did_not_gain)
        told += f", random weights {percent(best(found.random))}"
    told += f"; each of {n} examples left out once)"
    if not case.is_frozen:
        why = "to learn from random weights; or another source: transfergrid rank"
        strength *= 0.5 * case.did_not_gain
        return Cause("frozen features", min(1.0, strength), told, Remedy("scratch", why))
    base = accuracy(case.baseline, "test")
    if base is not None:
        strength = max(strength, ramp(base - here, *CEILING) * case.did_not_gain)
        told += f"; frozen, they are the ceiling, and the baseline has {percent(base)} on test"
    remedy = Remedy("full_finetuning", "the features can then follow the target")
    return Cause("frozen features", min(1.0, strength), told, remedy)


def _no_better(source: Probe, random: Probe) -> float:
    """Return how clearly a source's features fail to beat those of random weights.

    0.7 if they are equal, 1 if clearly worse; nearly perfect features count as no obstacle.
    """
    here, there = best(source), best(random)
    worse = 0.7 * ramp(here - there, _noise(here, there, source.n), 0.0)
    worse += 0.3 * ramp(there - here, 0.0, 0.15)
    return worse * ramp(above_chance(here, source.chance), PERFECT, GOOD)


def best(probe: Probe) -> float:
    """Return the better of both probes: features that either can use are informative."""
    return max(probe.knn, probe.linear)


def _noise(one: float, other: float, n: int) -> float:
    """Return two standard errors of a difference of unpaired shares, at least 2 points."""
    return max(2.0 * math.hypot(binomial_se(one, n), binomial_se(other, n)), 0.02)


def head(case: Case) -> Cause | None:
    """Judge whether a head refitted in closed form would do better on the same features.

    If the whole network did not fit, optimisation is the likelier cause: up to half the strength is
    removed.
    """
    found = case.found.head
    if found is None:
        return None
    gap = found.refitted - found.trained
    error = _noise(found.refitted, found.trained, found.n) / 2
    strength = ramp(gap - error, HEAD_GAP, HEAD_BROKEN)
    fit, floor = accuracy(case.cell, "train"), chance(case.cell)
    if not case.is_frozen and fit is not None and floor is not None:
        strength *= 1.0 - 0.5 * ramp(above_chance(fit, floor), FITTED, UNFITTED)
    part = "validation" if found.on == "validation" else "training"
    told = (
        f"on {found.n} {part} examples the trained head reaches {percent(found.trained)}, one "
        f"refitted in closed form on the same features {percent(found.refitted)}"
    )
    other = case.reference.head
    if other is not None:
        told += f" (baseline {percent(other.trained)} and {percent(other.refitted)})"
    why = "ten times strategy.lr_factor, or more training.steps: the features are there"
    remedy = Remedy("feature_extraction" if case.is_frozen else case.strategy, why)
    return Cause("head", strength, told, remedy)


def batch_norm(case: Case) -> Cause | None:
    """Judge whether BatchNorm's running statistics misfit the target's inputs at test time.

    If frozen features are poor and stay poor with the target's own statistics, the cause is another
    one and the strength is reduced.
    """
    found = case.found.batch_norm
    if found is None or found.after is None:
        return None
    now = found.after
    strength = max(
        ramp(now.mean_shift, SHIFT_LOW, SHIFT_HIGH),
        ramp(now.log_variance, VARIANCE_LOW, VARIANCE_HIGH),
    )
    told = (
        f"in {now.layers} BatchNorm layers the target's means are {now.mean_shift:.2g} running "
        f"standard deviations off, its variances by a factor of e^{now.log_variance:.2g}; worst "
        f"in {now.worst_layer}"
    )
    other = case.reference.batch_norm
    if other is not None and other.after is not None:
        told += f" (baseline {other.after.mean_shift:.2g} and e^{other.after.log_variance:.2g})"
    if found.source is not None:
        told += f"; on its own domain e^{found.source.log_variance:.2g}"
    probes = case.found.features
    if case.is_frozen and probes and probes.before and probes.renormalised:
        here, there = best(probes.before), best(probes.renormalised)
        poor = ramp(above_chance(here, probes.before.chance), PERFECT, INFORMATIVE)
        helps = ramp(there - here, 0.0, _noise(here, there, probes.before.n))
        strength *= 1.0 - 0.6 * poor * (1.0 - helps)
        told += f"; with the target's own statistics probes reach {percent(there)}, without "
        told += percent(here)
    if case.is_frozen:
        remedy = Remedy("full_finetuning", "the statistics then follow the target's batches")
    else:
        remedy = Remedy(case.strategy, "more training.steps: the statistics are still on their way")
    return Cause("BatchNorm statistics", strength, told, remedy)


def destroyed(case: Case) -> Cause | None:
    """Judge whether training destroyed what the source knew, and whether that was useful.

    It takes both a representation or weights that changed a lot, and damage. Damage is a test
    accuracy below that of a probe on the untouched features, or a forgotten source task.
    """
    drift, probes = case.found.drift, case.found.features
    if drift is None or not case.starts_from_source or case.is_frozen or case.change is None:
        return None
    kept = drift.embedding_cka
    gone = max(
        ramp(case.change, REMADE_LOW, REMADE_HIGH),
        0.0 if kept is None else ramp(kept, COLLAPSE_LOW, COLLAPSE_HIGH),
    )
    told = f"weights of a block moved by {_size(case.change)}"
    told += "" if kept is None else f", embeddings kept a similarity (CKA) of {kept:.2f}"
    damage = 0.0
    test = accuracy(case.cell, "test")
    if probes and probes.before and test is not None:
        before, n = best(probes.before), probes.before.n
        noise = 2.0 * (binomial_se(before, n) + binomial_se(test, case.test_items))
        damage = ramp(before - test - noise, DAMAGE_LOW, DAMAGE_HIGH)
        told += f"; a probe of the untouched features reached {percent(before)}"
        told += f", the cell {percent(test)} on test"
    forgetting = case.found.forgetting
    if forgetting and forgetting.before and forgetting.after:
        before, after = best(forgetting.before), best(forgetting.after)
        noise = _noise(before, after, forgetting.before.n)
        damage = max(damage, ramp(before - after - noise, DAMAGE_LOW, DAMAGE_HIGH))
        told += f"; source task {percent(before)} before, {percent(after)} after"
    remedy = Remedy("layerwise_lr", "small steps near the input keep what the source knew")
    return Cause("destroyed representation", min(gone, damage) * case.did_not_gain, told, remedy)


def overfitting(case: Case) -> Cause | None:
    """Judge whether the gap between training and test is wider than the baseline's."""
    train, test = accuracy(case.cell, "train"), accuracy(case.cell, "test")
    base = accuracy(case.baseline, "train"), accuracy(case.baseline, "test")
    if train is None or test is None or base[0] is None or base[1] is None:
        return None
    gap, other = train - test, base[0] - base[1]
    noise = 2.0 * binomial_se(test, case.test_items)
    strength = MOST_OF_A_GAP * ramp(gap - other - noise, GAP_LOW, GAP_HIGH) * case.did_not_gain
    told = (
        f"training {percent(train)}, test {percent(test)}: a gap of {100 * gap:.1f} points "
        f"(baseline {100 * other:.1f})"
    )
    remedy = (
        Remedy("scratch", "the features fit these labels and not the task")
        if case.is_frozen
        else Remedy("feature_extraction", "a head alone has less to overfit with")
    )
    return Cause("overfitting", strength, told, remedy)
