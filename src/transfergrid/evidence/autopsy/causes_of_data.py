"""Causes in the data, in chance, or in effects that a placebo has as well."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.autopsy.case import (
    Case,
    Cause,
    Remedy,
    above_chance,
    accuracy,
    binomial_se,
    in_unit,
    percent,
    ramp,
)
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.points import unit

PRIOR_LOW, PRIOR_HIGH = 0.08, 0.35
"""Total variation between two class priors beyond sampling error: at 8 % so many examples are of
other classes than expected; at 35 % the priors belong to different tasks."""
FOLLOWED_LOW, FOLLOWED_HIGH = 0.03, 0.15
"""Total variation between the predicted and the true test prior: a shift that predictions do not
follow does no harm."""
APART_LOW, APART_HIGH = 0.5, 1.5
"""Proxy A-distance, at most 2: a linear classifier separates the domains with an error of 37 %, and
of 12 %."""
MISMATCHED_LOW, MISMATCHED_HIGH = 0.15, 0.5
"""Share of target examples that are nearer to another class's source mean than to that of their own
class."""
WRONG_LOW, WRONG_HIGH = 0.2, 0.6
"""Test error above which a distant source can be an explanation, if no labels show the classes."""
Z_LOW, Z_HIGH = 2.0, 5.0
"""z score of a pair of classes that is confused more often than by the baseline: at 2 it is one of
many pairs that chance would produce, at 5 it is not chance."""
SHARED = (0.33, 0.10)
"""Distance between cell and placebo divided by the gain: a placebo that shares two thirds of the
gain leaves something to the source, one that shares nine tenths does not."""
MOST_OF_A_CONFUSION = 0.5
"""Confused classes show where it hurt rather than why, so their strength is limited."""
MOST_OF_NOISE = 0.5
"""Noise can excuse a difference but explains nothing, so real defects rank first."""


def label_shift(case: Case) -> Cause | None:
    """Judge whether class frequencies differ between training and test and misled predictions."""
    said, priors = case.said(case.cell), case.found.priors
    learned = priors.given or priors.source if priors else _given(case)
    if said is None or learned is None or len(learned) != said.probabilities.shape[1]:
        return None
    where = "labels" if priors is None or priors.given else "source domain"
    n_learned = max(sum(case.cell.data.per_class.values()), 1) if where == "labels" else math.inf
    prior, true, predicted = np.array(learned), *_priors(said)
    noise = _sampling(true, len(said.labels)) + (
        _sampling(prior, n_learned) if case.cell.labels == "all" else 0.0
    )
    distance, off = _variation(prior, true), _variation(predicted, true)
    followed = ramp(off - _sampling(true, len(said.labels)), FOLLOWED_LOW, FOLLOWED_HIGH)
    toward = _variation(predicted, prior) < distance
    strength = min(ramp(distance - noise, PRIOR_LOW, PRIOR_HIGH), followed if toward else 0.0)
    told = f"{100 * distance:.0f} % of the test examples are of other classes than the {where} "
    told += f"would have them; predictions are {100 * off:.0f} % off"
    other = case.said(case.baseline)
    if other is not None and np.array_equal(other.labels, said.labels):
        theirs = _variation(_priors(other)[1], true)
        told += f" (baseline {100 * theirs:.0f} %)"
        if theirs >= off:
            strength *= 0.5  # the baseline handles the same shift no better
    even = np.full(len(true), 1 / len(true))
    sampling = "balanced" if _variation(true, even) < _variation(prior, even) else "natural"
    why = f"labels drawn more as the test is: target.sampling={sampling}"
    return Cause("label shift", strength, told, Remedy(case.strategy, why))


def _given(case: Case) -> tuple[float, ...] | None:
    counts = list(case.cell.data.per_class.values())
    return tuple(c / sum(counts) for c in counts) if sum(counts) else None


def _priors(said: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the true and the predicted class shares among the test examples."""
    classes, n = said.probabilities.shape[1], len(said.labels)
    true = np.bincount(said.labels, minlength=classes) / n
    return true, np.bincount(said.probabilities.argmax(axis=1), minlength=classes) / n


def _variation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.abs(one - other).sum() / 2)


def _sampling(prior: NDArray[np.float64], n: float) -> float:
    """Return the expected total variation between a prior and a sample of n from it."""
    return float(np.sqrt(2 / np.pi * prior * (1 - prior) / n).sum() / 2)


def domain_distance(case: Case) -> Cause | None:
    """Judge whether source and target embeddings are far apart, or aligned with wrong classes.

    Distance alone does no harm. It is weighted by the share of target examples that lie nearer to
    another class or, without labels, by the test error.
    """
    found = case.found.domains
    if found is None:
        return None
    harm, told = _harm(case)
    strength = ramp(found.after, APART_LOW, APART_HIGH) * harm
    apart = f"proxy A-distance of source and target {found.before:.2f} before, {found.after:.2f} "
    apart += "after (2 is the most)"
    aligned = found.before - found.after > 0.3
    if aligned and found.match_before is not None and found.match_after is not None:
        wrong = ramp(found.match_before - found.match_after, 0.0, 0.2)
        strength = max(strength, harm * wrong)
        apart += "; the domains came together with wrong classes" if wrong > 0 else ""
    if case.source_need == "weights":  # no alignment was intended
        strength *= 0.5
    name, why = (
        ("source_only", "is the same without the alignment; a few labels would tell more")
        if case.cell.labels == 0
        else ("full_finetuning", "learns from the target's labels without pulling the domains")
    )
    if case.strategy == name:
        name, why = "scratch", "this source is too far to start from"
    remedy = Remedy(name, why)
    return Cause("domain distance", strength, apart + told, remedy)


def _harm(case: Case) -> tuple[float, str]:
    found, test = case.found.domains, accuracy(case.cell, "test")
    assert found is not None
    if found.match_after is not None:
        told = f"; nearest source class mean is right for {percent(found.match_after)} of the "
        told += f"labelled target examples ({percent(found.match_before)} before)"
        return ramp(1 - found.match_after, MISMATCHED_LOW, MISMATCHED_HIGH), told
    classes = len(case.cell.data.classes)
    if test is None or classes < 2:
        return 0.0, ""
    missing = 1 - above_chance(test, 1 / classes)
    return ramp(missing, WRONG_LOW, WRONG_HIGH), f"; test accuracy {percent(test)}"


def confusions(case: Case) -> Cause | None:
    """Judge which classes the cell confuses that the baseline distinguishes."""
    said, other = case.said(case.cell), case.said(case.baseline)
    if said is None or other is None or not np.array_equal(said.labels, other.labels):
        return None
    more = confused(said) - confused(other)
    total = confused(said) + confused(other)
    z = more / np.sqrt(np.maximum(total, 1))
    order = np.argsort(-z, axis=None, kind="stable")[:3]
    pairs = [np.unravel_index(place, z.shape) for place in order if z.flat[place] >= Z_LOW]
    names = case.cell.data.classes
    lost = int(other.correct().sum()) - int(said.correct().sum())
    told = "; ".join(
        f"{names[a]} taken for {names[b]}: {confused(said)[a, b]:.0f} test items "
        f"(baseline {confused(other)[a, b]:.0f})"
        for a, b in pairs
    )
    share = sum(float(more[pair]) for pair in pairs) / lost if lost > 0 else 0.0
    several = len(names) > 2  # with two classes any loss is in one pair or the other
    strength = ramp(float(z.max()), Z_LOW, Z_HIGH) * min(share, 1.0) * several
    if pairs and lost > 0:
        told += f"; together {100 * min(share, 1.0):.0f} % of the {lost} items lost"
    return Cause(
        "class confusions",
        MOST_OF_A_CONFUSION * strength * case.did_not_gain,
        told or "no pair of classes is confused more than by the baseline",
        Remedy("full_finetuning", "or more labels of these classes: the source merges them"),
    )


def confused(said: Predictions) -> NDArray[np.float64]:
    """Return how many test examples of class i (row) were predicted as j; the diagonal is zero."""
    classes = said.probabilities.shape[1]
    counts = np.zeros((classes, classes))
    np.add.at(counts, (said.labels, said.probabilities.argmax(axis=1)), 1)
    np.fill_diagonal(counts, 0)
    return counts


def placebo(case: Case) -> Cause | None:
    """Judge whether a source without knowledge has the same effect.

    The strength grows as the placebo's score approaches the cell's, relative to the cell's gain. A
    gain within two standard errors has nothing to share.
    """
    if case.placebo is None or case.gain is None:
        return None
    ours, theirs = accuracy(case.cell, "test"), accuracy(case.placebo, "test")
    base = accuracy(case.baseline, "test")
    if ours is None or theirs is None or base is None:
        return None
    effect, shared = ours - base, theirs - base
    noise = 2.0 * binomial_se(ours, case.test_items)
    real = ramp(abs(effect), noise, 2.0 * noise)
    strength = real * ramp(abs(ours - theirs) / max(abs(effect), 1e-9), *SHARED)
    told = f"a placebo of this source has {percent(theirs)}, the cell {percent(ours)}, the "
    told += f"baseline {percent(base)}: the placebo shares "
    told += f"{100 * min(max(shared / effect, 0.0), 1.0):.0f} % of it" if effect else "it"
    remedy = (
        Remedy(case.strategy, "another source (transfergrid rank): this one's knowledge adds none")
        if effect > 0
        else Remedy("scratch", "it is the scale of these weights that hurts, not what they know")
    )
    return Cause("initialisation scale only", 0.9 * strength, told, remedy)


def noise(case: Case) -> Cause | None:
    """Judge whether the loss of this single run is within the uncertainty of its test items.

    An interval that contains zero names this cause unless a stronger one exists; the nearer zero is
    to its middle, the stronger.
    """
    gain = case.gain
    if gain is None:
        return None
    low, high = gain.interval()
    if low is None or high is None:
        if gain.mean != 0:
            return None
        strength, told = 1.0, "it scores what the baseline scores"
    else:
        reach = (high - low) / 2
        share = abs(gain.mean) / reach if reach > 0 else 1.0
        strength = 0.6 + 0.4 * ramp(share, 1.0, 0.5) if low <= 0 <= high else 0.0
        told = f"this single run's gain of {in_unit(gain.mean, case.cell.metric)} "
        told += "is within noise" if low <= 0 <= high else "is beyond noise"
        digits = ".1f" if unit(case.cell.metric) else ".3g"
        told += f": 95 % interval over test items [{low:+{digits}}, {high:+{digits}}]"
    why = "more seeds of the same cell: one run cannot tell"
    strength *= MOST_OF_NOISE * case.did_not_gain
    return Cause("noise", strength, told, Remedy(case.strategy, why))
