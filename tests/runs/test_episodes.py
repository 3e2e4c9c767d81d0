"""A cell of episodes: what reads no target is learned once, each episode by its own support."""

import numpy as np
import pytest
import torch

from composed import planned
from transfergrid import api
from transfergrid.evidence.statistics.intervals import (
    SEEDS_AND_GROUPS,
    THIS_MODEL,
    over_blocks_and_items,
)
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.tracking.tracker import NoTracker
from transfergrid.runs import episodes
from transfergrid.runs.cell import judge, learn, maker_of, run_cell, set_up
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.machine import Machine
from transfergrid.strategies.phases import Phase

SOURCE = ("source=glyph_letters", "source.domain.only=[A,B,C,D]", "source.training.steps=20")
TARGET = (
    "target=episodes",
    "target.domain.only=[W,X,Y,Z]",
    *("target.ways=3", "target.episodes=4", "target.queries=5"),
)


def cells(*words):
    return planned(*SOURCE, *TARGET, "training.steps=6", *words).cells


def ready(tmp_path, *words):
    (cell,) = (c for c in cells(*words) if c.names.strategy != "scratch")
    machine, clock = Machine("cpu", threads=1, diagnostics="none"), Stopwatch()
    maker = maker_of(cell, Ledger(tmp_path), machine, NoTracker(), clock)
    return set_up(cell, maker), machine


@pytest.mark.parametrize(
    ("reads", "count"),
    [
        ([["episode"], ["target"]], 1),
        ([["source"], ["episode", "source"], ["target"]], 2),
        ([["target"], ["source"]], 0),
        ([["source", "target"]], 0),
        ([["source"]], 1),
    ],
)
def test_phases_without_the_target_come_once(reads, count):
    assert episodes.shared([Phase("a", reads=streams) for streams in reads]) == count


def test_each_episode_is_answered_by_its_own_support(tmp_path):
    """By hand: the nearest mean of each episode's support, on the frozen source."""
    setup, machine = ready(tmp_path, "strategy=prototypes", "labels=2")
    fitted = learn(setup, machine, lambda values, step: None)
    said, labels = judge(setup, machine, fitted).test
    rounds, target = setup.target.loaded.rounds, setup.target
    backbone = setup.backbone.eval()
    for number in range(4):
        support = target.view("pool", setup.preprocess, rounds.support(number, 2))
        query = target.view("test", setup.preprocess, rounds.query(number))
        with torch.no_grad():
            known, asked = (backbone(view.inputs(view.rows)) for view in (support, query))
        own = torch.from_numpy(support.labels)
        means = torch.stack([known[own == way].mean(0) for way in range(3)])
        wanted = (-torch.cdist(asked, means).square()).softmax(1)
        place = torch.from_numpy(rounds.query(number))
        torch.testing.assert_close(said[place], wanted, atol=1e-4, rtol=1e-4)
        assert torch.equal(labels[place], torch.from_numpy(query.labels))


def test_an_episode_begins_where_what_is_shared_ends(tmp_path):
    """Backwards or forwards, an episode's answers are the same: nothing of another one is left."""
    setup, machine = ready(tmp_path, "strategy=full_finetuning", "labels=2")
    fitted = learn(setup, machine, lambda values, step: None)
    first = judge(setup, machine, fitted).test[0]
    again = episodes.answers(setup, machine, dict(fitted.begun))
    assert torch.equal(first, again)
    assert fitted.steps == 6


def test_a_grid_has_its_verdicts_over_the_same_episodes(tmp_path):
    ledger, machine = Ledger(tmp_path), Machine("cpu", threads=1, diagnostics="none")
    for cell in cells("strategy=knn,simple_shot,prototypical_networks", "labels=1", "seed=0,1"):
        run_cell(cell, ledger, machine)
    kept = {}
    for record in ledger.records():
        found = ledger.predictions(record.id)
        kept.setdefault(tuple(found.labels.tolist()), set()).add(tuple(found.clusters.tolist()))
        assert found.probabilities.shape == (4 * 3 * 5, 3)
    assert len(kept) == 1
    assert [len(set(clusters)) for (clusters,) in kept.values()] == [4]
    learned = next(r for r in ledger.records() if r.names.strategy == "prototypical_networks")
    assert (learned.budget.source_batches, learned.budget.target_batches) == (6, 0)


def verdict_of(place, seeds):
    """Return the verdict on `prototypes` over `scratch` of these seeds, and the cells' answers."""
    ledger, machine = Ledger(place), Machine("cpu", threads=1, diagnostics="none")
    more = ("target.episodes=12", "target.queries=2", "source.seed=block", "training.steps=2")
    for cell in cells("strategy=prototypes", "labels=1", f"seed={seeds}", *more):
        run_cell(cell, ledger, machine)
    kept = {(r.names.strategy, r.seed): ledger.predictions(r.id) for r in ledger.records()}
    (verdict,) = api.verdicts(place)
    return verdict, kept


def test_seeds_and_episodes_are_crossed_and_one_model_speaks_of_itself(tmp_path):
    """By hand: the gain of each episode, by seed, and what new seeds and new episodes would do."""
    verdict, kept = verdict_of(tmp_path / "two", "0,1")
    right = {
        key: (found.probabilities.argmax(1) == found.labels).reshape(12, 6).mean(1)
        for key, found in kept.items()
    }
    gains = [100 * (right["prototypes", seed] - right["scratch", seed]) for seed in (0, 1)]
    found = over_blocks_and_items(np.stack(gains))
    assert verdict.scope == SEEDS_AND_GROUPS
    assert verdict.gain == pytest.approx(found.mean)
    assert (verdict.low, verdict.high) == pytest.approx(found.interval(0.95))
    assert len({tuple(part.labels.tolist()) for part in kept.values()}) == 1
    assert len({tuple(part.clusters.tolist()) for part in kept.values()}) == 1
    alone, one = verdict_of(tmp_path / "one", "0")
    assert (alone.scope, alone.n) == (THIS_MODEL, 1)
    same = one["prototypes", 0].probabilities, kept["prototypes", 0].probabilities
    assert np.array_equal(*same), "a seed's episodes do not depend on what else is run"


def test_who_learns_without_labels_has_nothing_to_learn_from():
    plan = planned(*SOURCE, *TARGET, "strategy=knn,mean_teacher", "labels=1")
    assert {cell.names.strategy for cell in plan.cells} == {"knn", "scratch"}
    (told,) = {skipped.reason for skipped in plan.skipped}
    assert told.startswith("mean_teacher learns from target inputs without labels, and the ep")
    assert told.endswith("bring none")


def test_a_source_of_the_same_shapes_needs_other_names():
    plan = planned(*SOURCE, *TARGET, "strategy=knn,source_and_target", "labels=1")
    (told,) = {skipped.reason for skipped in plan.skipped}
    assert "needs the same classes" in told
    assert np.all([cell.names.strategy != "source_and_target" for cell in plan.cells])
