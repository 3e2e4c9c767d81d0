"""Verdicts and report data made up for tests."""

from dataclasses import replace

from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import CONTROL, PLACEBO, TRANSFER, Verdict
from transfergrid.records.cell import Names, Parts
from transfergrid.report.html.columns import written
from transfergrid.report.html.data import ReportData, Section

ATTACK = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


def verdict(source="birds", strategy="full_finetuning", gain=2.0, kind=Kind.POSITIVE, **changes):
    """Return a verdict of five seeds, its interval two points wide on each side."""
    name = f"{source}-{strategy}-{changes.get('target', 'pets')}-{changes.get('labels', 20)}"
    found = Verdict(
        source=source,
        architecture="resnet18",
        strategy=strategy,
        target="pets",
        labels=20,
        baseline="scratch",
        n=5,
        gain=gain,
        low=None if gain is None else gain - 2,
        high=None if gain is None else gain + 2,
        p=0.01,
        p_corrected=0.02,
        verdict=kind,
        detectable=1.5,
        seeds_needed=None,
        se=None if gain is None else 2 / 2.776445,  # t of .975 with four degrees of freedom
        df=None if gain is None else 4,
        kind=TRANSFER,
        mean=80.0,
        baseline_mean=78.0,
        validation=81.0,
        seconds=4.0,
        seeds=tuple(range(5)),
        gains=tuple(float(i) for i in range(5)),
        cells=tuple(f"{name}-{i}" for i in range(5)),
        baseline_cells=tuple(f"scratch-{i}" for i in range(5)),
    )
    return replace(found, **changes)


def small_report(**changes):
    """Return a report of two budgets, with every kind of verdict, a placebo and a control."""
    found = [
        verdict(gain=6.0, validation=90.0),
        verdict("insects", gain=-3.0, kind=Kind.NEGATIVE, seconds=9.0),
        verdict("insects", "probe", 0.1, Kind.EQUIVALENT, seconds=1.0),
        verdict("birds", "probe", 0.8, Kind.UNDECIDED, seeds_needed=7, notes=("skewed",)),
        verdict("placebo", gain=-9.0, kind=Kind.NEGATIVE),
        verdict(None, "scratch_converged", 0.2, Kind.UNDECIDED, validation=82.0),
        verdict(labels="all", gain=1.5, kind=Kind.UNDECIDED, seeds_needed=3),
        verdict("insects", labels="all", gain=0.5, kind=Kind.UNDECIDED, target="pets"),
    ]
    found[4] = replace(found[4], kind=PLACEBO)
    found[5] = replace(found[5], kind=CONTROL)
    given = {
        "verdicts": tuple(found),
        "over_baselines": {"scratch_converged": (replace(found[0], gain=4.0),)},
        "cells": cells_of(found),
        "configs": {"s": {"strategy.lr": 0.1}, "t": {"strategy.lr": 0.2}},
        "sections": (Section("flips", tables=(written(("arm", "gain"), [("probe", "1.0")]),)),),
        "steps": ((0, (10.0, 20.0), (50.0, 70.0), (40.0, 60.0)),),
        "scores": ((0, "LEEP", 0.5), (1, "LEEP", 0.2)),
        "failed": (("birds probe on pets", "out of memory"),),
        "declaration": ("Declared 0123abcd: family of one target.",),
        "made": ("Made from 45 cells.",),
    }
    return ReportData(**(given | changes))


def fact(seed, score=None, validation=None, strategy=""):
    """Return a cell of these scores, from 0 to 1; `strategy` is the digest of its config."""
    return Result(
        id=f"{strategy}{seed}",
        names=Names(strategy="s", target="t"),
        parts=Parts(strategy=strategy, target=""),
        labels=20,
        seed=seed,
        score=score,
        validation_score=validation,
    )


def cells_of(verdicts):
    """Return what is known of the cells of these verdicts."""
    arms = {name: fact(i, 0.8 + 0.01 * i, 0.81, "s")
            for one in verdicts for i, name in enumerate(one.cells)}  # fmt: skip
    baseline = {f"scratch-{i}": fact(i, 0.78, 0.8, "t")
                for i in range(5)}  # fmt: skip
    return arms | baseline
